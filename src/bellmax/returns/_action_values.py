"""λ-returns of discrete actions' values."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, checked, expected_value, take_action
from ._lambda import lambda_recurrence
from ._trajectory import aligned, without_terminal


@checked(widen=True)
def sarsa_lambda_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch actions"],
    next_action: Integer[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Sarsa(λ): bootstraps from the action that was taken next.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda_{t+1})\,Q(S_{t+1}, A_{t+1}) + \lambda_{t+1}\,G_{t+1}]$$

    At the last step and at a truncation too: there the action is what the policy would have done.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S_{t+1}, \cdot)$ of the true successor.
        next_action: $A_{t+1}$, from 0 to actions − 1; an index outside gives NaN, except where the episode terminated.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every float argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the actions are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> ones, next_q = jnp.ones(2), jnp.array([[2.0, 4.0], [6.0, 8.0]])
        >>> sarsa_lambda_returns(ones, ones, next_q, jnp.array([1, 0]), 0.5).tolist()
        [6.5, 7.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, equation 12.19.
    """
    next_values = take_action(without_terminal(next_q, discounts), next_action)
    return lambda_recurrence("sarsa_lambda_returns", rewards, discounts, next_values, lambda_)


@checked(widen=True)
def expected_sarsa_lambda_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch actions"],
    next_probs: Float[Array, "time *batch actions"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Expected Sarsa(λ): bootstraps from the policy's expectation.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda_{t+1}) \sum_a \pi(a|S_{t+1})\,Q(S_{t+1}, a) + \lambda_{t+1}\,G_{t+1}]$$

    It is on-policy where λ > 0. An action of probability zero adds nothing, a value of −∞ included.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S_{t+1}, \cdot)$ of the true successor.
        next_probs: $\pi(\cdot|S_{t+1})$, which sums to 1.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones, next_q = jnp.ones(2), jnp.array([[2.0, 4.0], [6.0, 8.0]])
        >>> expected_sarsa_lambda_returns(ones, ones, next_q, 0.5 * jnp.ones((2, 2)), 0.5).tolist()
        [6.5, 8.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, equation 12.20.
    """
    next_values = expected_value(without_terminal(next_q, discounts), next_probs)
    return lambda_recurrence("expected_sarsa_lambda_returns", rewards, discounts, next_values, lambda_)


@checked(widen=True)
def q_lambda_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch actions"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Peng's Q(λ): bootstraps from the best action, and never cuts the trace.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda_{t+1}) \max_a Q(S_{t+1}, a) + \lambda_{t+1}\,G_{t+1}]$$

    With λ > 0 it is biased by the behaviour's exploratory actions, and often learns faster for it. Masked actions have
    a value of −∞; a terminal state may have nothing else.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S_{t+1}, \cdot)$ of the true successor.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones, next_q = jnp.ones(2), jnp.array([[2.0, 4.0], [6.0, 8.0]])
        >>> q_lambda_returns(ones, ones, next_q, 0.5).tolist()
        [7.5, 9.0]

    References:
        Peng and Williams, *Incremental Multi-Step Q-Learning*, 1996. Kozuno et al., *Revisiting Peng's Q(λ) for Modern
        Reinforcement Learning*, 2021, arXiv:2103.00107.
    """
    next_values = jnp.max(without_terminal(next_q, discounts), axis=-1)
    return lambda_recurrence("q_lambda_returns", rewards, discounts, next_values, lambda_)


@checked(widen=True)
def watkins_q_lambda_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch actions"],
    next_action: Integer[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Watkins' Q(λ): follows the trajectory only as long as it is greedy.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda'_{t+1}) \max_a Q(S_{t+1}, a) + \lambda'_{t+1}\,G_{t+1}], \qquad
      \lambda'_t = \lambda_t\,[Q(S_t, A_t) = \max_a Q(S_t, a)]$$

    Every action of the greatest value is greedy. No gradient flows through the comparison. The last step's action, and
    one at a truncation, are not looked at.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S_{t+1}, \cdot)$ of the true successor.
        next_action: $A_{t+1}$, from 0 to actions − 1; an index outside gives NaN.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every float argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the actions are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> ones, next_q = jnp.ones(2), jnp.array([[2.0, 4.0], [6.0, 8.0]])
        >>> watkins_q_lambda_returns(ones, ones, next_q, jnp.array([0, 0])).tolist()
        [5.0, 9.0]

    References:
        Watkins, *Learning from Delayed Rewards*, 1989. Sutton and Barto, *Reinforcement Learning*, 2nd edition,
        section 12.10.
    """
    lambdas = aligned("watkins_q_lambda_returns", lambda_, rewards)
    next_q = without_terminal(next_q, discounts)
    taken, best = take_action(next_q, next_action), jnp.max(next_q, axis=-1)
    lambdas = lambdas.at[-1].set(0)
    # Whether an unknown action is greedy is unknown: the NaN goes into the value, which keeps it out of the gradients.
    next_values = jnp.where(jnp.isnan(taken) & (lambdas != 0), jnp.nan, best)
    return lambda_recurrence(
        "watkins_q_lambda_returns", rewards, discounts, next_values, jnp.where(taken == best, lambdas, 0)
    )
