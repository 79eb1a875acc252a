"""Temporal-difference errors of action values whose target is greedy."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import ValueTransform, checked, greedy_action, inverted, take_action
from ._bootstrap import one_step_error
from ._ensemble import ensemble_min


@checked(widen=True)
def q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of Q-learning.

    $$\delta = f\left(R + \gamma f^{-1}(\max_{a'} Q(S', a'))\right) - Q(S, A)$$

    A zero discount erases the bootstrap, even where every next action is masked with −∞.

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor, usually from the target network; its gradient is stopped.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

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
    next_value = inverted(jnp.max(next_q, axis=-1), transform)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


@checked(widen=True)
def double_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    next_q_selector: Float[Array, "*batch actions"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of double Q-learning: one network chooses the next action, the other says what it is worth.

    $$\delta = f\left(R + \gamma f^{-1}(Q(S', \arg\max_{a'} Q_{selector}(S', a')))\right) - Q(S, A)$$

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ that evaluates: the target network's; its gradient is stopped.
        next_q_selector: $Q_{selector}(S', \cdot)$ that selects: the online network's.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

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
    next_value = inverted(take_action(next_q, greedy_action(next_q_selector)), transform)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


@checked(widen=True)
def clipped_double_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "members *batch actions"],
    next_q_selector: Float[Array, "*batch actions"] | None = None,
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of clipped double Q-learning: the next action is worth what the most pessimistic member says.

    $$\delta = f\left(R + \gamma f^{-1}(\min_i Q_i(S', a^*))\right) - Q(S, A), \qquad
      a^* = \arg\max_{a'} Q_{selector}(S', a')$$

    Without a selector the next action is the best in the light of the pessimistic values themselves, so that the
    bootstrap is $\max_{a'} \min_i Q_i(S', a')$. With one it is that network's greedy action, as in TD3, where the
    policy belongs to the first critic. The least of the errors with each `next_q[j]` for the selector has the bootstrap
    $\min_{i,j} Q_i(S', \arg\max_{a'} Q_j(S', a'))$.

    Args:
        q: $Q(S, \cdot)$, the prediction of one member; map over the first axis of an ensemble's.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q_i(S', \cdot)$ of all target networks; its gradient is stopped.
        next_q_selector: $Q_{selector}(S', \cdot)$, or None.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If the ensemble has no members.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([[3.0, 4.0], [5.0, 0.0]])
        >>> clipped_double_q_learning_error(q, 0, 1.0, 1.0, next_q).tolist()
        3.0

    References:
        Fujimoto, van Hoof and Meger, *Addressing Function Approximation Error in Actor-Critic Methods*, 2018,
        arXiv:1802.09477, equation 10.
    """
    pessimistic = ensemble_min(next_q)
    selector = pessimistic if next_q_selector is None else next_q_selector
    return double_q_learning_error(q, action, reward, discount, pessimistic, selector, transform=transform)
