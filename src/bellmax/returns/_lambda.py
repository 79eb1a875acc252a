"""The λ-return."""

from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, mix, multiply_no_nan, reverse_scan
from ._trajectory import aligned


@checked(widen=True)
def lambda_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    next_values: Float[Array, "time *batch"],
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> Float[Array, "time *batch"]:
    r"""Mixes the n-step returns of a trajectory.

    $$G_t = R_{t+1} + \gamma_{t+1}\,[(1-\lambda_{t+1})\,V(S_{t+1}) + \lambda_{t+1}\,G_{t+1}]$$

    The last step bootstraps from its own successor. A zero discount erases what it multiplies, an infinite value
    included, and so do a λ of 0 and of 1.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        next_values: $V(S_{t+1})$ of the true successor, never of a reset state.
        lambda_: $\lambda_{t+1} \in [0, 1]$; 0 where the episode was truncated.

    Returns:
        $G_t$ for every step, in the units of the rewards. Differentiable in every argument.

    Raises:
        ValueError: If the trajectory is empty, or λ is one number outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ones = jnp.ones(3)
        >>> lambda_returns(ones, 0.5 * ones, 0 * ones).tolist()
        [1.75, 1.5, 1.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 12.8.
    """
    return lambda_recurrence("lambda_returns", rewards, discounts, next_values, lambda_)


def lambda_recurrence(
    function: str, rewards: Array, discounts: Array, next_values: Array, lambda_: RealScalarLike | Array
) -> Array:
    """The λ-return, for all functions that are one with values of their own; errors name the function."""
    lambdas = aligned(function, lambda_, rewards)

    def step(later_return, now):
        reward, discount, next_value, lambda_ = now
        this_return = reward + multiply_no_nan(mix(next_value, later_return, lambda_), discount)
        return this_return, this_return

    return reverse_scan(step, next_values[-1], (rewards, discounts, next_values, lambdas))
