"""Temporal-difference errors of action values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import checked, multiply_no_nan, take_action


@checked
def q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
) -> Float[Array, "*batch"]:
    r"""The error of Q-learning.

    $$\delta = R + \gamma \max_{a'} Q(S', a') - Q(S, A)$$

    A zero discount erases the bootstrap, even where every next action is masked with −∞.

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor, usually from the target network; its gradient is stopped.

    Returns:
        Target minus prediction for each example, in the units of the reward.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
        >>> q_learning_error(q, 0, 1.0, 0.5, next_q).tolist()
        2.0

    References:
        Watkins and Dayan, *Q-learning*, 1992. Mnih et al., *Human-level control through deep reinforcement learning*,
        2015.
    """
    return _error(q, action, reward, discount, jnp.max(next_q, axis=-1))


@checked
def double_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    next_q_selector: Float[Array, "*batch actions"],
) -> Float[Array, "*batch"]:
    r"""The error of double Q-learning: one network chooses the next action, the other says what it is worth.

    $$\delta = R + \gamma\, Q(S', \arg\max_{a'} Q_{selector}(S', a')) - Q(S, A)$$

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ that evaluates: the target network's; its gradient is stopped.
        next_q_selector: $Q_{selector}(S', \cdot)$ that selects: the online network's.

    Returns:
        Target minus prediction for each example, in the units of the reward.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, target, online = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]), jnp.array([1.0, 0.0])
        >>> double_q_learning_error(q, 0, 1.0, 0.5, target, online).tolist()
        1.5

    References:
        Van Hasselt, Guez and Silver, *Deep Reinforcement Learning with Double Q-learning*, 2015, arXiv:1509.06461.
    """
    next_value = take_action(next_q, jnp.argmax(next_q_selector, axis=-1))
    unknown = jnp.isnan(next_q_selector).any(axis=-1)
    return _error(q, action, reward, discount, jnp.where(unknown, jnp.nan, next_value))


def _error(q, action, reward, discount, next_value):
    target = reward + multiply_no_nan(next_value, discount)
    return jax.lax.stop_gradient(target) - take_action(q, action)
