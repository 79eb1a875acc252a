"""Returns of action values from another policy's trajectory."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, multiply_no_nan, reverse_scan, truncated_ratio
from ._trajectory import aligned


@checked(widen=True)
def off_policy_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch"],
    traces: Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Corrects the expected value of each successor by what the trajectory did there.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[V(S_{t+1}) + \lambda_{t+1}\, c_{t+1}\,(G_{t+1} - Q(S_{t+1}, A_{t+1}))]$$

    The trace $c$ chooses the algorithm: $\rho$ is importance sampling, 1 is Q(λ) of Harutyunyan, $\pi(A|S)$ is tree
    backup, $\min(1, \rho)$ is Retrace. The last step has no later return, so that its `next_q` and trace are not looked
    at. A zero discount, λ or trace erases what it multiplies.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V(S_{t+1}) = \sum_a \pi(a|S_{t+1})\, Q(S_{t+1}, a)$ of the true successor.
        next_q: $Q(S_{t+1}, A_{t+1})$ of the action that was taken next.
        traces: $c_{t+1} \ge 0$ of that action.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(2)
        >>> off_policy_returns(ones, ones, 2 * ones, 4 * ones, 0.5 * ones).tolist()
        [2.5, 3.0]

    References:
        Munos et al., *Safe and Efficient Off-Policy Reinforcement Learning*, 2016, arXiv:1606.02647, equation 3.
    """
    return correct("off_policy_returns", rewards, discounts, next_values, next_q, traces, lambda_)


@checked(widen=True)
def retrace_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    next_q: Float[Array, "time *batch"],
    next_log_ratio: Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Retrace(λ): follows another policy's trajectory as far as the target policy would have gone along.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[V(S_{t+1}) + \lambda_{t+1} \min(1, \rho_{t+1})\,
      (G_{t+1} - Q(S_{t+1}, A_{t+1}))], \qquad \rho_t = \frac{\pi(A_t|S_t)}{\mu(A_t|S_t)}$$

    Actions may be discrete or continuous: only their values and log-ratio enter. The ratio is truncated before it is
    exponentiated, and is $e^{-40}$ at the least. The last step's `next_q` and log-ratio are not looked at.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V(S_{t+1})$, the expectation under π of the true successor's action values: exact for discrete
            actions, from one or more sampled actions for continuous ones.
        next_q: $Q(S_{t+1}, A_{t+1})$ of the action that was taken next.
        next_log_ratio: $\log \rho_{t+1}$ of that action, in nats.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$, the target of $Q(S_t, A_t)$, in the units of the rewards. Differentiable in every argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(2)
        >>> retrace_returns(ones, ones, 2 * ones, 4 * ones, jnp.log(0.5 * ones)).tolist()
        [2.5, 3.0]

    References:
        Munos et al., *Safe and Efficient Off-Policy Reinforcement Learning*, 2016, arXiv:1606.02647, equations 3 and 9.
    """
    traces = truncated_ratio(next_log_ratio, 1.0)
    return correct("retrace_returns", rewards, discounts, next_values, next_q, traces, lambda_)


def correct(
    function: str,
    rewards: Array,
    discounts: Array,
    next_values: Array,
    next_q: Array,
    traces: Array,
    lambda_: RealScalarLike | Array,
) -> Array:
    """What `off_policy_returns` computes, for all functions that choose its trace; errors name the function."""
    lambdas = aligned(function, lambda_, rewards).at[-1].set(0)

    def step(later_return, now):
        reward, discount, next_value, next_q, trace, lambda_ = now
        weight = multiply_no_nan(trace, discount * lambda_)
        correction = multiply_no_nan(later_return - next_q, weight)
        this_return = reward + multiply_no_nan(next_value, discount) + correction
        return this_return, this_return

    return reverse_scan(step, jnp.zeros_like(rewards[-1]), (rewards, discounts, next_values, next_q, traces, lambdas))
