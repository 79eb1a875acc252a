"""Temporal-difference errors of state values, and of action values under a policy."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import ValueTransform, checked, expected_value, inverted, take_action
from ._bootstrap import one_step_error


@checked(widen=True)
def td_error(
    value: Float[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_value: Float[Array, "*batch"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of temporal-difference learning, for values of states or of single actions.

    $$\delta = f\left(R + \gamma f^{-1}(V(S'))\right) - V(S)$$

    It serves n-step targets too, as every error here does: the reward is then the discounted sum of n rewards, the
    discount the product of n discounts and the successor that of the last step. The critics of DDPG and TD3 are this
    error, with the target's action and `ensemble_min` over target critics for the next value.

    Args:
        value: $V(S)$ or $Q(S, A)$, the prediction.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated, which erases the next value, infinite or not.
        next_value: $V(S')$ of the true successor; its gradient is stopped.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> td_error(jnp.array([1.0]), jnp.array([2.0]), jnp.array([0.5]), jnp.array([4.0])).tolist()
        [3.0]

    References:
        Sutton, *Learning to Predict by the Methods of Temporal Differences*, 1988. Pohlen et al., *Observe and Look
        Further*, 2018, arXiv:1805.11593, for transformed values.
    """
    return one_step_error(value, reward, discount, inverted(next_value, transform), transform)


@checked(widen=True)
def sarsa_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    next_action: Integer[Array, "*batch"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of Sarsa: the target is the value of the action taken next.

    $$\delta = f\left(R + \gamma f^{-1}(Q(S', A'))\right) - Q(S, A)$$

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated, and then the next action does not matter.
        next_q: $Q(S', \cdot)$ of the true successor; its gradient is stopped.
        next_action: $A'$, from 0 to actions − 1; an index outside gives NaN.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or an action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0])
        >>> sarsa_error(q, 0, 1.0, 0.5, next_q, 0).tolist()
        1.5

    References:
        Rummery and Niranjan, *On-Line Q-Learning Using Connectionist Systems*, 1994. Sutton and Barto, *Reinforcement
        Learning*, 2nd edition, section 6.4.
    """
    next_value = inverted(take_action(next_q, next_action), transform)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


@checked(widen=True)
def expected_sarsa_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    next_probs: Float[Array, "*batch actions"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of expected Sarsa: the target is the mean value of the next action under a policy.

    $$\delta = f\left(R + \gamma \sum_{a'} \pi(a'|S') f^{-1}(Q(S', a'))\right) - Q(S, A)$$

    The mean is taken in the units of the reward, after $f^{-1}$. An action of probability zero adds nothing, even
    where its value is −∞.

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor; its gradient is stopped.
        next_probs: $\pi(\cdot|S')$, which should sum to 1; its gradient is stopped.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0])
        >>> expected_sarsa_error(q, 0, 1.0, 0.5, next_q, jnp.array([0.5, 0.5])).tolist()
        2.0

    References:
        Van Seijen et al., *A Theoretical and Empirical Analysis of Expected Sarsa*, 2009.
    """
    next_value = expected_value(inverted(next_q, transform), next_probs)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


@checked(widen=True)
def qv_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_value: Float[Array, "*batch"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of QV-learning: action values learn from a state value.

    $$\delta = f\left(R + \gamma f^{-1}(V(S'))\right) - Q(S, A)$$

    With `discrete_soft_value` for the next value it is the critic of discrete soft actor-critic.

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_value: $V(S')$ of the true successor; its gradient is stopped.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> qv_learning_error(jnp.array([1.0, 2.0]), 1, 1.0, 0.5, 4.0).tolist()
        1.0

    References:
        Wiering, *QV(λ)-learning: A New On-policy Reinforcement Learning Algorithm*, 2005.
    """
    return one_step_error(take_action(q, action), reward, discount, inverted(next_value, transform), transform)


@checked(widen=True)
def qv_max_error(
    value: Float[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of QVMAX's state value, which learns from the best action value.

    $$\delta = f\left(R + \gamma f^{-1}(\max_{a'} Q(S', a'))\right) - V(S)$$

    Args:
        value: $V(S)$, the prediction.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor, −∞ where an action is masked; its gradient is stopped.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> qv_max_error(1.0, 2.0, 0.5, jnp.array([3.0, 4.0])).tolist()
        3.0

    References:
        Wiering and van Hasselt, *The QV Family Compared to Other Reinforcement Learning Algorithms*, 2009.
    """
    return one_step_error(value, reward, discount, inverted(jnp.max(next_q, axis=-1), transform), transform)
