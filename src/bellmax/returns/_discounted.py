"""The discounted sum of rewards."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, multiply_no_nan, reverse_scan
from ._trajectory import need_a_step


@checked(widen=True)
def discounted_returns(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    bootstrap_value: RealScalarLike | Float[Array, "*batch"] = 0.0,
) -> Float[Array, "time *batch"]:
    r"""Adds up what followed each step.

    $$G_t = R_{t+1} + \gamma_{t+1} G_{t+1}, \qquad G_T = V(S_T)$$

    It knows terminations, where the discount is 0, but no truncation inside the trajectory: values of every next state
    go to `lambda_returns`, whose λ is 0 where the episode was cut.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        bootstrap_value: $V(S_T)$ after the last step: one number, or one for each trajectory.

    Returns:
        $G_t$ for every step, in the units of the rewards. Differentiable in every argument.

    Raises:
        ValueError: If the trajectory is empty.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> discounted_returns(jnp.ones(3), 0.5 * jnp.ones(3)).tolist()
        [1.75, 1.5, 1.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, equation 3.9.
    """
    need_a_step("discounted_returns", rewards)
    last = jnp.broadcast_to(jnp.asarray(bootstrap_value, rewards.dtype), rewards.shape[1:])

    def step(later_return, now):
        reward, discount = now
        this_return = reward + multiply_no_nan(later_return, discount)
        return this_return, this_return

    return reverse_scan(step, last, (rewards, discounts))
