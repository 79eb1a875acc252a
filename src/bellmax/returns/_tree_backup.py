"""Returns of discrete actions' values that weigh the taken action by its probability."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, checked, expected_value, guard, mix, ratio_of, take_action
from ._off_policy import correct
from ._trajectory import without_terminal


@checked(widen=True)
def tree_backup_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch actions"],
    next_action: Integer[Array, "time *batch"],
    next_probs: Float[Array, "time *batch actions"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Tree backup: values the actions not taken, and follows the taken one as likely as the policy would.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[\sum_a \pi(a|S_{t+1})\,Q(S_{t+1}, a) + \lambda_{t+1}\,\pi(A_{t+1}|S_{t+1})\,
      (G_{t+1} - Q(S_{t+1}, A_{t+1}))]$$

    It needs no probabilities of the behaviour. The last step's action, and one at a truncation, are not looked at.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S_{t+1}, \cdot)$ of the true successor.
        next_action: $A_{t+1}$, from 0 to actions − 1; an index outside gives NaN.
        next_probs: $\pi(\cdot|S_{t+1})$ of the target policy, which sums to 1.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every float argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the actions are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> ones, next_q = jnp.ones(2), jnp.array([[2.0, 4.0], [6.0, 8.0]])
        >>> tree_backup_returns(ones, ones, next_q, jnp.array([0, 0]), 0.5 * jnp.ones((2, 2))).tolist()
        [7.0, 8.0]

    References:
        Precup, Sutton and Singh, *Eligibility Traces for Off-Policy Policy Evaluation*, 2000. Sutton and Barto,
        *Reinforcement Learning*, 2nd edition, equation 7.16.
    """
    next_q = without_terminal(next_q, discounts)
    traces = take_action(next_probs, next_action)
    taken = take_action(next_q, next_action)
    next_values = expected_value(next_q, next_probs)
    return correct("tree_backup_returns", rewards, discounts, next_values, taken, traces, lambda_)


@checked(widen=True)
def q_sigma_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch actions"],
    next_action: Integer[Array, "time *batch"],
    next_probs: Float[Array, "time *batch actions"],
    next_log_ratio: Float[Array, "time *batch"],
    sigma: RealScalarLike | Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Q(σ): between tree backup (σ = 0) and Sarsa with importance sampling (σ = 1), step by step.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[\sum_a \pi(a|S_{t+1})\,Q(S_{t+1}, a) + \lambda_{t+1}\, c_{t+1}\,
      (G_{t+1} - Q(S_{t+1}, A_{t+1}))], \qquad c_t = \sigma_t \rho_t + (1 - \sigma_t)\,\pi(A_t|S_t)$$

    The ratio ρ is not truncated, but for log-ratios beyond ±40. The last step's action and log-ratio, and those at a
    truncation, are not looked at.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S_{t+1}, \cdot)$ of the true successor.
        next_action: $A_{t+1}$, from 0 to actions − 1; an index outside gives NaN.
        next_probs: $\pi(\cdot|S_{t+1})$ of the target policy, which sums to 1.
        next_log_ratio: $\log \rho_{t+1} = \log \pi(A_{t+1}|S_{t+1}) - \log \mu(A_{t+1}|S_{t+1})$, in nats.
        sigma: $\sigma_{t+1} \in [0, 1]$, how much to sample: one number, or one a step.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every float argument.

    Raises:
        ValueError: If σ or a λ that is one number is outside [0, 1], or the trajectory is empty.
        jaxtyping.TypeCheckError: If the shapes differ or the actions are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> ones, next_q, probs = jnp.ones(2), jnp.array([[2.0, 4.0], [6.0, 8.0]]), 0.5 * jnp.ones((2, 2))
        >>> q_sigma_returns(ones, ones, next_q, jnp.array([0, 0]), probs, 0 * ones, sigma=0.5).tolist()
        [8.5, 8.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, equation 7.17. De Asis et al., *Multi-Step
        Reinforcement Learning: A Unifying Algorithm*, 2017, arXiv:1703.01327.
    """
    sigma = guard(sigma, lambda x: (x >= 0) & (x <= 1), "q_sigma_returns: sigma must lie in [0, 1]")
    next_q = without_terminal(next_q, discounts)
    probs = take_action(next_probs, next_action)
    sigmas = jnp.broadcast_to(jnp.asarray(sigma, probs.dtype), probs.shape)
    traces = mix(probs, ratio_of(next_log_ratio), sigmas)
    taken = take_action(next_q, next_action)
    next_values = expected_value(next_q, next_probs)
    return correct("q_sigma_returns", rewards, discounts, next_values, taken, traces, lambda_)
