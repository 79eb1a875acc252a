"""Regression of state values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, guard


@checked
def value_loss(value: Float[Array, "*batch"], target: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Half the squared distance to a target.

    $$L = \tfrac{1}{2}\,(G - V)^2$$

    Args:
        value: $V$, the prediction.
        target: $G$, such as a λ-return, in the same units; its gradient is stopped.

    Returns:
        The loss of each example; its gradient with respect to the value is $V - G$.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> value_loss(jnp.array([1.0]), jnp.array([3.0])).tolist()
        [2.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 9.3.
    """
    return 0.5 * jnp.square(jax.lax.stop_gradient(target) - value)


@checked
def clipped_value_loss(
    value: Float[Array, "*batch"],
    target: Float[Array, "*batch"],
    old_value: Float[Array, "*batch"],
    *,
    epsilon: RealScalarLike = 0.2,
) -> Float[Array, "*batch"]:
    r"""Half the squared distance to a target, pessimistic about predictions that moved far.

    $$L = \tfrac{1}{2}\max\left((G - V)^2,\ (G - V_{clip})^2\right), \qquad
      V_{clip} = V_{old} + \text{clip}(V - V_{old}, -\epsilon, \epsilon)$$

    Args:
        value: $V$, the prediction.
        target: $G$, such as a λ-return, in the same units; its gradient is stopped.
        old_value: $V_{old}$, the prediction when the data was collected; its gradient is stopped.
        epsilon: $\epsilon > 0$, how far the prediction may move, in the units of the value.

    Returns:
        The loss of each example, never below `value_loss`.

    Raises:
        ValueError: If ε is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = clipped_value_loss(jnp.array([0.5]), jnp.array([1.0]), jnp.array([0.0]))
        >>> round(loss.item(), 4)
        0.32

    References:
        Schulman et al.'s implementation of arXiv:1707.06347; Engstrom et al., *Implementation Matters in Deep Policy
        Gradients*, 2020, arXiv:2005.12729, section 3.
    """
    epsilon = jnp.asarray(guard(epsilon, lambda x: x > 0, "clipped_value_loss: epsilon must be positive"), value.dtype)
    old_value = jax.lax.stop_gradient(old_value)
    moved = old_value + jnp.clip(value - old_value, -epsilon, epsilon)
    return jnp.maximum(value_loss(value, target), value_loss(moved, target))
