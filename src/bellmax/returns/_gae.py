"""Generalised advantage estimation."""

from jaxtyping import Array, Float

from .._core import RealScalarLike, checked
from ._lambda import lambda_recurrence


@checked(widen=True)
def gae(
    values: Float[Array, "time *batch"],
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Estimates how much better each action was than the policy's average.

    $$A_t = G^\lambda_t - V_t, \qquad
      A_t = \delta_t + \gamma_{t+1}\lambda_{t+1}\,[A_{t+1} + V_{t+1} - V'_t], \qquad
      \delta_t = R_{t+1} + \gamma_{t+1} V'_t - V_t$$

    with $V_t$ the `values` and $V'_t$ the `next_values`: advantage plus value is the λ-return, the target of the value
    function. Where λ is not 0, $V_{t+1}$ and $V'_t$ are usually the same number, the value of $S_{t+1}$ by the same
    network. Then the bracket is $A_{t+1}$, and this is the recurrence of the paper; if they differ, by a second network
    say, it is not.

    Args:
        values: $V_t = V(S_t)$.
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V'_t = V(S_{t+1})$ of the true successor, never of a reset state.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated. 0 gives the one-step error, 1 the
            Monte Carlo advantage, the default here as in all returns; PPO takes 0.95.

    Returns:
        $A_t$ for every step, in the units of the rewards. Differentiable in every argument: stop the gradient where
        the advantage is data.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(2)
        >>> gae(ones, ones, 0.5 * ones, ones, 1.0).tolist()
        [0.75, 0.5]

    References:
        Schulman et al., *High-Dimensional Continuous Control Using Generalized Advantage Estimation*, 2015,
        arXiv:1506.02438. Pardo et al., *Time Limits in Reinforcement Learning*, 2018, arXiv:1712.00378.
    """
    return lambda_recurrence("gae", rewards, discounts, next_values, lambda_) - values
