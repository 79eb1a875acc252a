"""Exponential moving mean and variance."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from .._core import RealScalarLike, add_pair, checked, guard, unzip
from ._batch_moments import batch_moments, wide_zeros


class EmaMoments(eqx.Module):
    """Moving mean and variance, without the bias of a start at zero, for each element of a tree of arrays.

    Attributes:
        mean: Weighted mean of what was seen, in its units, at least float32.
        variance: Weighted mean square of the distances from it, in its units squared.
        weight: Sum of the weights, 1 minus the product of the decays; 0 if nothing was seen.
        mean_rest: What rounding took from the mean: steps far smaller than the mean still move it.
    """

    mean: PyTree[Array]
    variance: PyTree[Array]
    weight: Float[Array, ""]
    mean_rest: PyTree[Array]


@checked
def init_ema_moments(example: PyTree) -> EmaMoments:
    r"""Starts moving moments of nothing.

    $$W = 0, \qquad \mu = 0, \qquad \sigma^2 = 0$$

    Args:
        example: One example: an array, or a tree of them, without batch axes. Only shapes and types are used.

    Returns:
        The moments.

    Example:
        >>> import jax.numpy as jnp
        >>> float(init_ema_moments(jnp.ones(2)).weight)
        0.0

    References:
        Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2014, arXiv:1412.6980, section 3.
    """
    return EmaMoments(wide_zeros(example), wide_zeros(example), jnp.zeros(()), wide_zeros(example))


@checked
def update_ema_moments(
    moments: EmaMoments,
    x: PyTree[Shaped[Array | np.ndarray, "..."]],
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    *,
    decay: RealScalarLike = 0.999,
    axis_name: str | None = None,
) -> EmaMoments:
    r"""Moves moments towards those of a batch.

    $$W' = dW + (1 - d), \quad \alpha = \tfrac{1 - d}{W'}, \quad \mu' = \mu + \alpha (\bar x - \mu), \quad
    \sigma'^2 = (1 - \alpha)\left(\sigma^2 + \alpha(\bar x - \mu)^2\right) + \alpha s^2$$

    This is what moving averages of $x$ and $x^2$ give once their bias is divided out, without the difference of two
    large numbers. A batch of nothing changes nothing. Differentiable in examples
    and moments.

    Args:
        moments: The moments so far; the same on every device.
        x: Examples: a tree of the structure of the moments, each array with the same batch axes before its own.
        mask: True, or anything but 0, for the examples that count; not a weight. What is dropped may be NaN.
        decay: $d \in [0, 1]$, the share of the past that stays.
        axis_name: Name of the mapped device axis, or None. $\bar x, s^2$ are mean and variance over all devices.

    Returns:
        The moments; the same on every device.

    Raises:
        ValueError: If `decay` is outside [0, 1], or structure or shapes differ from those of the moments.

    Example:
        >>> import jax.numpy as jnp
        >>> moments = update_ema_moments(init_ema_moments(jnp.zeros(())), jnp.array([1.0, 3.0]), decay=0.5)
        >>> float(moments.mean), float(moments.variance), float(moments.weight)
        (2.0, 1.0, 0.5)

    References:
        Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2014, arXiv:1412.6980, section 3. Finch,
        *Incremental calculation of weighted mean and variance*, 2009.
    """
    decay = guard(decay, lambda decay: (decay >= 0) & (decay <= 1), "update_ema_moments: decay must be in [0, 1]")
    batch = batch_moments(moments.mean, moments.mean_rest, x, mask, axis_name)
    decay = jnp.where(batch.count == 0, 1, jnp.asarray(decay, moments.weight.dtype))
    weight = decay * moments.weight + (1 - decay)
    share = (1 - decay) / jnp.where(weight == 0, 1, weight)

    def mean(mean, mean_rest, step, rest):
        by = share.astype(mean.dtype)
        return add_pair(mean, mean_rest, by * step, by * rest)

    def variance(variance, step, rest, square):
        by = share.astype(variance.dtype)
        return (1 - by) * (variance + by * jnp.square(step + rest)) + by * square

    moved = jax.tree.map(mean, moments.mean, moments.mean_rest, batch.step, batch.rest)
    spread = jax.tree.map(variance, moments.variance, batch.step, batch.rest, batch.variance)
    means, rests = unzip(moved, moments.mean)
    return EmaMoments(means, spread, weight, rests)
