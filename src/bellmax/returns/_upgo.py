"""The upgoing return."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, mix, multiply_no_nan, reverse_scan
from ._trajectory import aligned, without_terminal


@checked(widen=True)
def upgo_returns(
    values: Float[Array, "time *batch"],
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Follows the trajectory as long as it does better than expected, then bootstraps.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda'_{t+1})\,V(S_{t+1}) + \lambda'_{t+1}\,G_{t+1}], \qquad
      \lambda'_t = \lambda_t\,[R_{t+1} + \gamma_{t+1} V(S_{t+1}) \ge V(S_t)]$$

    The last step bootstraps from its own successor. No gradient flows through the comparison.

    Args:
        values: $V(S_t)$, only compared.
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V(S_{t+1})$ of the true successor, never of a reset state.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated. 1 is the paper's.

    Returns:
        $G_t$ for every step, in the units of the rewards; the advantage is $G_t - V(S_t)$. Differentiable in every
        argument but the values.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(3)
        >>> upgo_returns(jnp.array([0.0, 5.0, 0.0]), ones, ones, jnp.array([5.0, 0.0, 2.0])).tolist()
        [6.0, 4.0, 3.0]

    References:
        Vinyals et al., *Grandmaster level in StarCraft II using multi-agent reinforcement learning*, 2019, methods.
    """
    lambdas = aligned("upgo_returns", lambda_, rewards)
    next_values = without_terminal(next_values, discounts)

    def step(later, now):
        later_return, later_error = later
        value, reward, discount, next_value, lambda_ = now
        trace = jnp.where(later_error >= 0, lambda_, 0)
        # What cannot be compared goes into the value as NaN, which keeps it out of the gradients.
        bootstrap = jnp.where(jnp.isnan(later_error) & (lambda_ != 0), jnp.nan, next_value)
        this_return = reward + multiply_no_nan(mix(bootstrap, later_return, trace), discount)
        error = reward + multiply_no_nan(next_value, discount) - value
        return (this_return, error), this_return

    last = (next_values[-1], jnp.zeros_like(next_values[-1]))
    return reverse_scan(step, last, (values, rewards, discounts, next_values, lambdas))
