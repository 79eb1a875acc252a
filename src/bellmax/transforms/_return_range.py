"""The range of returns, by which advantages are divided."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core import RealScalarLike, checked, guard
from ._guard_pair import guard_pair


class ReturnRange(eqx.Module):
    """Moving percentiles of the returns.

    Attributes:
        low: Moving average of the low percentile, in the units of the returns.
        high: Moving average of the high percentile.
        weight: Sum of the weights behind them; 0 if nothing was seen.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    weight: Float[Array, ""]


@checked
def init_return_range() -> ReturnRange:
    r"""Starts a range of nothing.

    $$W = 0, \qquad l = h = 0$$

    Returns:
        The state, whose `return_scale` is 1.

    Example:
        >>> float(return_scale(init_return_range()))
        1.0

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104.
    """
    return ReturnRange(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))


@checked
def update_return_range(
    state: ReturnRange,
    returns: Float[Array, "*batch"],
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    *,
    decay: RealScalarLike = 0.99,
    low: RealScalarLike = 5.0,
    high: RealScalarLike = 95.0,
    axis_name: str | None = None,
) -> ReturnRange:
    r"""Moves the range towards the percentiles of a batch of returns.

    $$W' = dW + (1 - d), \quad \alpha = \tfrac{1 - d}{W'}, \quad
    l' = l + \alpha(\mathrm{Per}(G, 5) - l), \quad h' = h + \alpha(\mathrm{Per}(G, 95) - h)$$

    The percentiles are of all returns of all devices, with linear interpolation. The first batch sets the range. A
    batch of nothing changes nothing; NaN in a return that counts stays in the range. Differentiable: it is
    `return_scale` that stops the gradient.

    Args:
        state: The range so far; the same on every device.
        returns: $G$, in the units of the environment.
        mask: True, or anything but 0, for the returns that count; not a weight. What is dropped may be NaN.
        decay: $d \in [0, 1]$.
        low: The low percentile, in [0, 100], below `high`.
        high: The high percentile, in [0, 100].
        axis_name: Name of the mapped device axis, or None; the returns of all devices are gathered.

    Returns:
        The range; the same on every device.

    Raises:
        ValueError: If a knob is outside its range.

    Example:
        >>> import jax.numpy as jnp
        >>> state = update_return_range(init_return_range(), jnp.arange(101.0))
        >>> float(state.low), float(state.high)
        (5.0, 95.0)

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104, on return
        normalisation.
    """
    decay = guard(decay, lambda decay: (decay >= 0) & (decay <= 1), "update_return_range: decay must be in [0, 1]")
    percents = guard_pair(
        low,
        high,
        lambda low, high: (low >= 0) & (low < high) & (high <= 100),
        "update_return_range: low and high must be percentiles, 0 <= low < high <= 100",
    )
    keep = jnp.ones(returns.shape, bool) if mask is None else mask.astype(bool)
    rows = jnp.ravel(returns).astype(state.low.dtype), jnp.ravel(keep)
    if axis_name is not None:
        rows = jax.tree.map(jnp.ravel, jax.lax.all_gather(rows, axis_name))
    count = jnp.sum(rows[1], dtype=jnp.int32)
    decay = jnp.where(count == 0, 1, jnp.asarray(decay, state.weight.dtype))
    weight = decay * state.weight + (1 - decay)
    share = (1 - decay) / jnp.where(weight == 0, 1, weight)
    seen_low, seen_high = _percentiles(rows[0], rows[1], count, percents)
    return ReturnRange(
        state.low + share * (seen_low - state.low), state.high + share * (seen_high - state.high), weight
    )


@checked
def return_scale(state: ReturnRange, *, least: RealScalarLike = 1.0) -> Float[Array, ""]:
    r"""What advantages are divided by: the range of the returns, but never less than one.

    $$S = \max(1, h - l)$$

    The scale is data: no gradient flows through it, as none flows through $\operatorname{sg}(S)$ in the paper.

    Args:
        state: $l$ and $h$.
        least: The least scale, above 0, in the units of the returns.

    Returns:
        $S$, in the units of the returns.

    Raises:
        ValueError: If `least` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> float(return_scale(ReturnRange(jnp.array(-2.0), jnp.array(6.0), jnp.array(1.0))))
        8.0

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104, on return
        normalisation.
    """
    least = guard(least, lambda least: least > 0, "return_scale: least must be above 0")
    return jax.lax.stop_gradient(jnp.maximum(jnp.asarray(least, state.low.dtype), state.high - state.low))


def _percentiles(x, keep, count, percents):
    """Returns percentiles of the numbers that are kept; zeros if there are none."""
    if math.prod(x.shape) == 0:
        return (jnp.zeros((), x.dtype),) * 2
    ordered = jnp.sort(jnp.where(keep, x, jnp.inf))  # NaN comes last
    last = jnp.maximum(count - 1, 0)
    unknown = jnp.any(keep & jnp.isnan(x))

    def of(percent):
        at = jnp.asarray(percent, x.dtype) / 100 * last.astype(x.dtype)
        below = jnp.clip(jnp.floor(at).astype(jnp.int32), 0, last)
        above = jnp.minimum(below + 1, last)
        part = at - below.astype(x.dtype)
        value = ordered[below] + part * (ordered[above] - ordered[below])
        return jnp.where(count == 0, 0, jnp.where(unknown, jnp.nan, value))

    return tuple(of(percent) for percent in percents)
