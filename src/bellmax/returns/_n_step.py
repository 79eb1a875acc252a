"""The n-step return."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, mix, multiply_no_nan
from ._trajectory import aligned


@checked(widen=True)
def n_step_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    n: int,
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Looks n rewards ahead, then bootstraps.

    $$G^{(1)}_t = R_{t+1} + \gamma_{t+1} V(S_{t+1}), \qquad
      G^{(k)}_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda_{t+1})\,V(S_{t+1}) + \lambda_{t+1}\,G^{(k-1)}_{t+1}]$$

    The window ends early, and bootstraps there, at a truncation ($\lambda = 0$) and at the end of the trajectory; at a
    termination ($\gamma = 0$) nothing follows.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V(S_{t+1})$ of the true successor, never of a reset state.
        n: How many rewards to add up, at least 1; any n from the trajectory's length on gives the λ-return.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G^{(n)}_t$ for every step, in the units of the rewards. Differentiable in every floating-point argument.

    Raises:
        ValueError: If n is below 1, the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(3)
        >>> n_step_returns(ones, ones, 10 * ones, n=2).tolist()
        [12.0, 12.0, 11.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 7.1.
    """
    if n < 1:
        raise ValueError(f"n_step_returns: n must be at least 1; got {n}")
    lambdas = aligned("n_step_returns", lambda_, rewards).at[-1].set(0)

    def lengthen(shorter, _):
        later = jnp.roll(shorter, -1, axis=0)
        return rewards + multiply_no_nan(mix(next_values, later, lambdas), discounts), None

    one_step = rewards + multiply_no_nan(next_values, discounts)
    longest, _ = jax.lax.scan(lengthen, one_step, length=min(n, rewards.shape[0]) - 1)
    return longest
