"""PopArt: outputs preserved precisely, and brought to and from the scale of their targets."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import checked, take_action
from ._popart import PopArt, output_index


@checked(widen=True)
def rescale_output(
    weight: Float[Array, "*batch outputs features"], bias: Float[Array, "*batch outputs"], old: PopArt, new: PopArt
) -> tuple[Float[Array, "*batch outputs features"], Float[Array, "*batch outputs"]]:
    r"""Changes the last layer so that unnormalised outputs stay precisely what they were.

    $$W' = \frac{\sigma}{\sigma'} W, \qquad b' = \frac{\sigma b + \mu - \mu'}{\sigma'}$$

    Args:
        weight: $W$ of the last layer, one row an output, as in `equinox.nn.Linear`.
        bias: $b$ of the last layer.
        old: $\mu, \sigma$ before the update.
        new: $\mu', \sigma'$ after it.

    Returns:
        $W'$ and $b'$. Differentiable.

    Raises:
        ValueError: If the states do not have the outputs of the layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.transforms import PopArt, init_popart
        >>> old = init_popart(1)
        >>> new = PopArt(jnp.array([1.0]), jnp.array([4.0]), jnp.array([2.0]), jnp.zeros(1))
        >>> [each.tolist() for each in rescale_output(jnp.array([[6.0]]), jnp.array([3.0]), old, new)]
        [[[3.0]], [1.0]]

    References:
        Van Hasselt et al., *Learning values across many orders of magnitude*, 2016, arXiv:1602.07714, proposition 1.
    """
    outputs = old.scale.shape, new.scale.shape
    if outputs != (bias.shape[-1:],) * 2:
        raise ValueError(f"rescale_output: the layer has {bias.shape[-1]} outputs; got states of {outputs}")

    def like(x, of_outputs):
        return jnp.broadcast_to(of_outputs.astype(x.dtype), x.shape)

    ratio = like(bias, old.scale) / like(bias, new.scale)
    moved = like(bias, (old.mean - new.mean) + (old.mean_rest - new.mean_rest)) / like(bias, new.scale)
    return weight * jnp.broadcast_to(ratio[..., None], weight.shape), bias * ratio + moved


@checked(widen=True)
def popart_normalise(
    state: PopArt, value: Float[Array, "*batch"], index: Integer[Array, "*batch"] | None = None
) -> Float[Array, "*batch"]:
    r"""Brings values, or targets, to the scale of the network's outputs.

    $$n = (v - \mu_i) / \sigma_i$$

    Args:
        state: $\mu$ and $\sigma$.
        value: $v$, in the units of the environment.
        index: $i$, the output that each value belongs to; NaN for one outside. None with a single output.

    Returns:
        $n$, without units. Differentiable.

    Raises:
        ValueError: If `index` is None with several outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.transforms import PopArt
        >>> state = PopArt(jnp.array([1.0]), jnp.array([4.0]), jnp.array([2.0]), jnp.zeros(1))
        >>> popart_normalise(state, 5.0).tolist()
        2.0

    References:
        Hessel et al., *Multi-task Deep Reinforcement Learning with PopArt*, 2018, arXiv:1809.04474.
    """
    mean, rest, scale = _of_output(state, value, index, "popart_normalise")
    return ((value - mean) - rest) / scale


@checked(widen=True)
def popart_unnormalise(
    state: PopArt, value: Float[Array, "*batch"], index: Integer[Array, "*batch"] | None = None
) -> Float[Array, "*batch"]:
    r"""Brings the network's outputs to the units of the environment.

    $$v = \sigma_i n + \mu_i$$

    Args:
        state: $\mu$ and $\sigma$.
        value: $n$, without units.
        index: $i$, the output that each value belongs to; NaN for one outside. None with a single output.

    Returns:
        $v$, in the units of the environment. Differentiable.

    Raises:
        ValueError: If `index` is None with several outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.transforms import PopArt
        >>> state = PopArt(jnp.array([1.0]), jnp.array([4.0]), jnp.array([2.0]), jnp.zeros(1))
        >>> popart_unnormalise(state, 2.0).tolist()
        5.0

    References:
        Hessel et al., *Multi-task Deep Reinforcement Learning with PopArt*, 2018, arXiv:1809.04474.
    """
    mean, rest, scale = _of_output(state, value, index, "popart_unnormalise")
    return (value * scale + rest) + mean


def _of_output(state, value, index, function):
    index = output_index(index, value, state.mean.shape[0], function)
    words = (state.mean, state.mean_rest, state.scale)
    rows = (jnp.broadcast_to(each.astype(value.dtype), (*value.shape, *each.shape)) for each in words)
    return tuple(take_action(each, index) for each in rows)
