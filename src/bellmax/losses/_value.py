"""Regression of state values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, guard


@checked(widen=True)
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


@checked(widen=True)
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


@checked(widen=True)
def expectile_loss(
    prediction: Float[Array, "*batch"], target: Float[Array, "*batch"], *, expectile: RealScalarLike = 0.7
) -> Float[Array, "*batch"]:
    r"""Regression on an expectile: squares that weigh more on one side.

    $$L = |\tau - 1\{u < 0\}|\, u^2, \qquad u = G - V$$

    Above a half, targets that lie above the prediction weigh more, and the prediction tends to the largest target as
    τ tends to 1. At a half this is `value_loss`.

    Args:
        prediction: $V$.
        target: $G$, such as $Q(s, a)$ of a target network, in the same units; its gradient is stopped.
        expectile: $\tau$, above 0 and below 1.

    Returns:
        The loss of each example, in squared units.

    Raises:
        ValueError: If τ is known and not between 0 and 1.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = expectile_loss(jnp.array([0.0, 0.0]), jnp.array([1.0, -1.0]))
        >>> [round(each, 4) for each in loss.tolist()]
        [0.7, 0.3]

    References:
        Kostrikov, Nair and Levine, *Offline Reinforcement Learning with Implicit Q-Learning*, 2021, arXiv:2110.06169,
        section 4.1.
    """
    message = "expectile_loss: expectile must be between 0 and 1"
    expectile = jnp.asarray(guard(expectile, lambda x: (x > 0) & (x < 1), message), prediction.dtype)
    gap = jax.lax.stop_gradient(target) - prediction
    return jnp.where(gap < 0, 1 - expectile, expectile) * jnp.square(gap)
