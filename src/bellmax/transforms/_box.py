"""Between the reals and a box of actions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard


@checked(widen=True)
def reals_to_box(
    x: Float[Array, "*batch"], low: RealScalarLike | Float[Array, "..."], high: RealScalarLike | Float[Array, "..."]
) -> Float[Array, "*batch"]:
    r"""Squeezes the reals into a box.

    $$a = l + (h - l)\,\sigma(x)$$

    It is taken from the nearer bound: rounding never leads outside, and far from zero the result is the bound itself.

    Args:
        x: Real numbers, no unit.
        low: $l$, in the units of the action; a number, or an array whose axes are the last ones of `x`.
        high: $h > l$, likewise.

    Returns:
        $a \in [l, h]$, elementwise. Differentiable in everything.

    Raises:
        ValueError: If a bound is not finite, or `low` is not below `high`.

    Example:
        >>> import jax.numpy as jnp
        >>> reals_to_box(jnp.array([-100.0, 0.0, 100.0]), -2.0, 4.0).tolist()
        [-2.0, 1.0, 4.0]

    References:
        Carpenter et al., *The Stan Math Library*, 2015, arXiv:1509.07164, on transforms of bounded variables.
    """
    low, high, width = _bounds(low, high, x, "reals_to_box")
    below = x < 0
    step = width * jax.nn.sigmoid(jnp.where(below, x, -x))
    return jnp.clip(jnp.where(below, low + step, high - step), low, high)


@checked
def box_to_reals(
    action: Float[Array, "*batch"],
    low: RealScalarLike | Float[Array, "..."],
    high: RealScalarLike | Float[Array, "..."],
) -> Float[Array, "*batch"]:
    r"""Undoes `reals_to_box`.

    $$x = \ln(a - l) - \ln(h - a)$$

    Both distances are kept above the machine epsilon of the type, relative to the width of the box: at a bound and
    outside the result is finite, ±15.9 in float32, and its gradient by the action is zero outside.

    Args:
        action: $a \in [l, h]$, in the units of the action.
        low: $l$; a number, or an array whose axes are the last ones of `action`.
        high: $h > l$, likewise.

    Returns:
        $x$, elementwise. Differentiable in everything.

    Raises:
        ValueError: If a bound is not finite, or `low` is not below `high`.

    Example:
        >>> import jax.numpy as jnp
        >>> box_to_reals(jnp.array([1.0, 4.0]), -2.0, 4.0).round().tolist()
        [0.0, 16.0]

    References:
        Carpenter et al., *The Stan Math Library*, 2015, arXiv:1509.07164, on transforms of bounded variables.
    """
    low, high, width = _bounds(low, high, action, "box_to_reals")
    least = jnp.finfo(action.dtype).eps * width
    return jnp.log(jnp.clip(action - low, least, width)) - jnp.log(jnp.clip(high - action, least, width))


@checked
def reals_to_box_log_det(
    x: Float[Array, "*batch action_dim"],
    low: RealScalarLike | Float[Array, "..."],
    high: RealScalarLike | Float[Array, "..."],
) -> Float[Array, "*batch"]:
    r"""The logarithm of how much `reals_to_box` stretches volume.

    $$\ln\left|\det\frac{\partial a}{\partial x}\right| = \sum_i \ln(h_i - l_i) + \ln\sigma(x_i) + \ln\sigma(-x_i)$$

    A density of $x$ becomes one of $a$ by subtracting this from its logarithm.

    Args:
        x: Real numbers, no unit; the last axis is summed over.
        low: $l$, in the units of the action; a number, or an array whose axes are the last ones of `x`.
        high: $h > l$, likewise.

    Returns:
        One number an example, in nats, at least float32. Differentiable in everything.

    Raises:
        ValueError: If a bound is not finite, or `low` is not below `high`.

    Example:
        >>> import jax.numpy as jnp
        >>> reals_to_box_log_det(jnp.zeros(2), 0.0, 4.0).tolist()
        0.0

    References:
        Carpenter et al., *The Stan Math Library*, 2015, arXiv:1509.07164, on transforms of bounded variables.
    """
    wide = at_least_float32(x)
    _, _, width = _bounds(low, high, wide, "reals_to_box_log_det")
    return jnp.sum(jnp.log(width) + jax.nn.log_sigmoid(wide) + jax.nn.log_sigmoid(-wide), axis=-1)


def _bounds(low, high, like, function):
    """Brings bounds, and the width between them, to the shape and type of the array that they belong to."""
    if isinstance(low, Tracer) or isinstance(high, Tracer):
        low, high = (jnp.broadcast_to(jnp.asarray(bound, like.dtype), like.shape) for bound in (low, high))
    else:
        # What is constant is known under `jit` too, but not what JAX makes of it there.
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    largest = float(jnp.finfo(like.dtype).max)
    low = guard(low, lambda low: abs(low) <= largest, f"{function}: low must be finite")
    high = guard(high, lambda high: abs(high) <= largest, f"{function}: high must be finite")
    width = guard(
        high - low, lambda width: (width > 0) & (width <= largest), f"{function}: high - low must be finite and above 0"
    )
    return tuple(jnp.broadcast_to(jnp.asarray(each, like.dtype), like.shape) for each in (low, high, width))
