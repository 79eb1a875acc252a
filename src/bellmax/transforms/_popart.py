"""PopArt: moments of targets of any scale."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from .._core import RealScalarLike, add_pair, checked, guard, psum
from ._guard_pair import guard_pair


class PopArt(eqx.Module):
    """Moving moments of the targets, one of each for every output (a task, or a head).

    Attributes:
        mean: Moving mean of the targets, in their units.
        variance: Moving mean square of their distances from it, in their units squared.
        scale: Root of the variance, within bounds: what outputs are multiplied by.
        mean_rest: What rounding took from the mean: steps far smaller than the mean still move it.
    """

    mean: Float[Array, " outputs"]
    variance: Float[Array, " outputs"]
    scale: Float[Array, " outputs"]
    mean_rest: Float[Array, " outputs"]


@checked
def init_popart(num_outputs: int) -> PopArt:
    r"""Starts with targets of mean 0 and scale 1.

    $$\mu = 0, \qquad \sigma = 1$$

    Args:
        num_outputs: How many outputs have their own moments.

    Returns:
        The state.

    Example:
        >>> init_popart(2).scale.tolist()
        [1.0, 1.0]

    References:
        Hessel et al., *Multi-task Deep Reinforcement Learning with PopArt*, 2018, arXiv:1809.04474.
    """
    # Each field has its own array: one buffer cannot be donated twice.
    return PopArt(jnp.zeros(num_outputs), jnp.ones(num_outputs), jnp.ones(num_outputs), jnp.zeros(num_outputs))


@checked
def update_popart(
    state: PopArt,
    targets: Float[Array, "*batch"],
    index: Integer[Array, "*batch"] | None = None,
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    *,
    step_size: RealScalarLike = 3e-4,
    scale_low: RealScalarLike = 1e-4,
    scale_high: RealScalarLike = 1e6,
    axis_name: str | None = None,
) -> PopArt:
    r"""Moves the moments of each output towards those of its targets.

    $$\mu' = \mu + \beta(\bar G - \mu), \quad \nu' = \nu + \beta(\overline{G^2} - \nu), \quad
    \sigma'^2 = \nu' - \mu'^2 = (1 - \beta)\left(\sigma^2 + \beta(\bar G - \mu)^2\right) + \beta s^2$$

    The means are over the targets of that output in the batch and on all devices: one step of size $\beta$ an update,
    however many targets there are. An output without targets stays as it is. The last form is the one computed, since
    the difference of $\nu$ and $\mu^2$ loses its digits where the mean is large. Differentiable in targets and
    moments.

    Args:
        state: The moments so far; the same on every device.
        targets: $G$, in the units of the environment.
        index: The output that each target belongs to; what is outside counts for none. None with a single output.
        mask: True, or anything but 0, for the targets that count; not a weight. What is dropped may be NaN.
        step_size: $\beta \in [0, 1]$.
        scale_low: Least $\sigma > 0$, in the units of the environment.
        scale_high: Largest $\sigma$, likewise, at least `scale_low`.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The state; the same on every device.

    Raises:
        ValueError: If a knob is outside its range, or `index` is None with several outputs.

    Example:
        >>> import jax.numpy as jnp
        >>> state = update_popart(init_popart(1), jnp.array([9.0, 11.0]), step_size=0.5)
        >>> state.mean.tolist(), state.variance.tolist()
        ([5.0], [26.0])

    References:
        Hessel et al., *Multi-task Deep Reinforcement Learning with PopArt*, 2018, arXiv:1809.04474, equation 6. Van
        Hasselt et al., *Learning values across many orders of magnitude*, 2016, arXiv:1602.07714.
    """
    step_size = guard(step_size, lambda by: (by >= 0) & (by <= 1), "update_popart: step_size must be in [0, 1]")
    bounds = guard_pair(
        scale_low,
        scale_high,
        lambda low, high: (low > 0) & (low <= high),
        "update_popart: scale_low must be above 0 and scale_high at least scale_low",
    )
    outputs = state.mean.shape[0]
    keep = jax.nn.one_hot(output_index(index, targets, outputs, "update_popart"), outputs, dtype=bool)
    if mask is not None:
        keep = keep & jnp.expand_dims(mask.astype(bool), -1)
    axes = tuple(range(targets.ndim))
    count = psum(jnp.sum(keep, axis=axes, dtype=jnp.int32), axis_name)

    def mean(x):
        return psum(jnp.sum(x, axis=axes), axis_name) / jnp.maximum(count, 1).astype(x.dtype)

    def rows(of_outputs):
        return jnp.broadcast_to(of_outputs, keep.shape)

    spread = jnp.broadcast_to(targets.astype(state.mean.dtype)[..., None], keep.shape)
    distances = jnp.where(keep, (spread - rows(state.mean)) - rows(state.mean_rest), 0)
    step = mean(distances)
    square = mean(jnp.where(keep, jnp.square(distances - rows(step)), 0))
    by = jnp.where(count == 0, 0, jnp.asarray(step_size, step.dtype))
    variance = (1 - by) * (state.variance + by * jnp.square(step)) + by * square
    low, high = (jnp.square(jnp.asarray(bound, variance.dtype)) for bound in bounds)
    means, rests = add_pair(state.mean, state.mean_rest, by * step, jnp.zeros_like(step))
    return PopArt(means, variance, jnp.sqrt(jnp.clip(variance, low, high)), rests)


def output_index(index, like, outputs, function):
    """Returns the index, or zeros for None where there is one output only."""
    if index is not None:
        return index
    if outputs > 1:
        raise ValueError(f"{function}: index says which of the {outputs} outputs each value belongs to; got None")
    return jnp.zeros(like.shape, jnp.int32)
