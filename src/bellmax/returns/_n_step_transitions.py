"""Transitions over several steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core import RealScalarLike, checked, multiply_no_nan
from ._trajectory import aligned


class NStepTransitions(eqx.Module):
    """From each step of a trajectory up to n steps ahead, as one transition.

    Attributes:
        reward: The discounted sum of the rewards on the way.
        discount: The product of the discounts on the way, which weighs the value of where it ends.
        steps: How many steps it covers, from 1 to n: its successor is that of the step `steps - 1` later.
    """

    reward: Float[Array, "time *batch"]
    discount: Float[Array, "time *batch"]
    steps: Int[Array, "time *batch"]


@checked(widen=True)
def n_step_transitions(
    rewards: Float[Array, "time *batch"],
    discounts: Float[Array, "time *batch"],
    n: int,
    lambda_: RealScalarLike | Float[Array, "time *batch"] = 1.0,
) -> NStepTransitions:
    r"""Joins up to n steps into one, before there is a value to bootstrap from.

    $$R^{(k)}_t = \sum_{i=0}^{k-1} \Big(\prod_{j=1}^{i} \gamma_{t+j}\Big) R_{t+i+1}, \qquad
      \gamma^{(k)}_t = \prod_{j=1}^{k} \gamma_{t+j}$$

    Here k is n, or less: it stops at a termination (γ = 0), at a truncation (λ = 0) and at the end of the trajectory.
    The target is then $R^{(k)}_t + \gamma^{(k)}_t V(S_{t+k})$, where $S_{t+k}$ is the true successor of step t + k − 1:
    the n-step return. Of λ only whether it is 0 matters.

    Args:
        rewards: $R_{t+1}$, in the units of the environment.
        discounts: $\gamma_{t+1} \in [0, 1]$; 0 where the episode terminated.
        n: How many steps to join, at least 1.
        lambda_: 0 where the episode was truncated; anything else where it went on.

    Returns:
        Reward, discount and number of steps of the transition that starts at each step. The first two are
        differentiable in rewards and discounts.

    Raises:
        ValueError: If n is below 1 or the trajectory is empty.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> joined = n_step_transitions(jnp.ones(4), jnp.array([0.5, 0.5, 0.0, 0.5]), n=2)
        >>> joined.reward.tolist(), joined.discount.tolist(), joined.steps.tolist()
        ([1.5, 1.5, 1.0, 1.0], [0.25, 0.0, 0.0, 0.5], [2, 2, 1, 1])

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 7.1. Hessel et al., *Rainbow*, 2017,
        arXiv:1710.02298.
    """
    if n < 1:
        raise ValueError(f"n_step_transitions: n must be at least 1; got {n}")
    untruncated = (aligned("n_step_transitions", jnp.asarray(lambda_) != 0, rewards) == 1).at[-1].set(False)
    goes_on = untruncated & (discounts != 0)

    def lengthen(shorter, _):
        reward, discount, steps = (jnp.roll(x, -1, axis=0) for x in shorter)
        reward = rewards + multiply_no_nan(jnp.where(untruncated, reward, 0), discounts)
        discount = multiply_no_nan(jnp.where(untruncated, discount, 1), discounts)
        return (reward, discount, 1 + jnp.where(goes_on, steps, 0)), None

    one_step = (rewards, discounts, jnp.ones(rewards.shape, jnp.int32))
    longest, _ = jax.lax.scan(lengthen, one_step, length=min(n, rewards.shape[0]) - 1)
    return NStepTransitions(*longest)
