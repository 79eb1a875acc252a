"""A clip of what flows backwards."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core import RealScalarLike, checked
from ._guard_pair import guard_pair


@checked
def clip_gradient(
    x: Float[Array, "*batch"] | PyTree[Float[Array, "..."]], low: RealScalarLike, high: RealScalarLike
) -> Float[Array, "*batch"] | PyTree[Float[Array, "..."]]:
    r"""Leaves numbers as they are, and clips each element of the gradient that flows back through them.

    $$y = x, \qquad \bar x = \min(\max(\bar y, l), h)$$

    The gradient of $\tfrac12 y^2$ is then that of the Huber loss. NaN in the gradient stays visible. Works in reverse
    mode only.

    Args:
        x: An array, or a tree of arrays, of any shapes.
        low: $l$, in the units of the gradient.
        high: $h \ge l$, likewise.

    Returns:
        `x`.

    Raises:
        ValueError: If `low` is above `high`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.grad(lambda x: 0.5 * clip_gradient(x, -1.0, 1.0) ** 2)(3.0).tolist()
        1.0

    References:
        Mnih et al., *Human-level control through deep reinforcement learning*, 2015, on clipping the error term.
    """
    bounds = guard_pair(low, high, lambda low, high: low <= high, "clip_gradient: low must not be above high")
    return jax.tree.map(lambda leaf: _clipped(leaf, jnp.asarray(bounds, leaf.dtype)), x)


@jax.custom_vjp
def _clipped(x, bounds):
    return x


def _forward(x, bounds):
    return x, bounds


def _backward(bounds, cotangent):
    return jnp.clip(cotangent, bounds[0], bounds[1]), jnp.zeros_like(bounds)


_clipped.defvjp(_forward, _backward)
