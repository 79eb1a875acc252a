"""V-trace."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, guard, mix, multiply_no_nan, ratio_of, reverse_scan, truncated_ratio
from ._trajectory import aligned


class VTrace(eqx.Module):
    """What V-trace estimates, one of each a step.

    Attributes:
        returns: The target of the value function.
        advantage: What weighs the gradient of the action's log-probability, importance ratio included.
        q: The value of the action taken.
    """

    returns: Float[Array, "time *batch"]
    advantage: Float[Array, "time *batch"]
    q: Float[Array, "time *batch"]


@checked(widen=True)
def vtrace(
    values: Float[Array, "time *batch"],
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    log_ratio: Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
    *,
    rho_clip: RealScalarLike = 1.0,
    c_clip: RealScalarLike = 1.0,
    pg_rho_clip: RealScalarLike = 1.0,
    alpha: RealScalarLike = 1.0,
) -> VTrace:
    r"""Corrects values and advantages for a trajectory of an older policy.

    $$v_t = V(S_t) + \rho_t\,(R_{t+1} + \gamma_{t+1} V(S_{t+1}) - V(S_t))
      + \gamma_{t+1}\lambda_{t+1} c_t\,(v_{t+1} - V(S_{t+1}))$$

    $$q_t = R_{t+1} + \gamma_{t+1}\,[\lambda_{t+1} v_{t+1} + (1 - \lambda_{t+1})\,V(S_{t+1})], \qquad
      A_t = \rho^{pg}_t\,(q_t - V(S_t))$$

    Each of $\rho_t, c_t, \rho^{pg}_t$ is the ratio π/μ of the action, clipped from above by its own bound: ρ decides
    which policy's value is found, c how far ahead to look. With α below 1 it is leaky:
    $\alpha \min(clip, \pi/\mu) + (1 - \alpha)\,\pi/\mu$, all three of them. Where π = μ, $v_t$ is the λ-return.

    After the last step $v$ is the successor's value. What is not clipped is held within $e^{\pm 40}$.

    Args:
        values: $V(S_t)$.
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V(S_{t+1})$ of the true successor, never of a reset state.
        log_ratio: $\log \pi(A_t|S_t) - \log \mu(A_t|S_t)$, in nats.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.
        rho_clip: $\bar\rho > 0$; infinity does not clip.
        c_clip: $\bar c > 0$, usually at most $\bar\rho$.
        pg_rho_clip: Bound of the ratio in the advantage, above 0.
        alpha: $\alpha \in [0, 1]$; 1 is V-trace, 0 plain importance sampling.

    Returns:
        $v_t$, $A_t$ and $q_t$, in the units of the rewards. Differentiable in every argument: stop the gradient where
        they are data.

    Raises:
        ValueError: If a clip is not positive, α or a λ that is one number is outside [0, 1], or the trajectory is
            empty.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(2)
        >>> found = vtrace(ones, ones, 0.5 * ones, ones, jnp.log(jnp.array([0.5, 2.0])))
        >>> found.returns.tolist(), found.advantage.tolist(), found.q.tolist()
        ([1.375, 1.5], [0.375, 0.5], [1.75, 1.5])

    References:
        Espeholt et al., *IMPALA*, 2018, arXiv:1802.01561, equation 1, remark 1 and section 4.2. Zahavy et al., *A
        Self-Tuning Actor-Critic Algorithm*, 2020, arXiv:2002.12928, for the leaky form.
    """
    alpha = guard(alpha, lambda x: (x >= 0) & (x <= 1), "vtrace: alpha must lie in [0, 1]")
    lambdas = aligned("vtrace", lambda_, rewards)

    def clipped(name, bound):
        bound = guard(bound, lambda x: x > 0, f"vtrace: {name} must be positive")
        return mix(ratio_of(log_ratio), truncated_ratio(log_ratio, bound), jnp.asarray(alpha, log_ratio.dtype))

    def step(later_return, now):
        value, reward, discount, next_value, lambda_, rho, c = now
        error = reward + multiply_no_nan(next_value, discount) - value
        weight = multiply_no_nan(c, discount * lambda_)
        this_return = value + rho * error + multiply_no_nan(later_return - next_value, weight)
        # Both weights hold the discount, so that a terminal value erases itself from the gradients too.
        q = reward + multiply_no_nan(next_value, discount * (1 - lambda_))
        q = q + multiply_no_nan(later_return, discount * lambda_)
        return this_return, (this_return, q)

    ratios = (clipped("rho_clip", rho_clip), clipped("c_clip", c_clip))
    sequences = (values, rewards, discounts, next_values, lambdas, *ratios)
    returns, q = reverse_scan(step, next_values[-1], sequences)
    return VTrace(returns, clipped("pg_rho_clip", pg_rho_clip) * (q - values), q)
