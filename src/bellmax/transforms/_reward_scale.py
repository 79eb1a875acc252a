"""What the scale of rewards is taken from: running returns of each lane, and their moments."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core import RealScalarLike, checked, guard
from ._moments import Moments, init_moments, update_moments


class RewardScale(eqx.Module):
    """What the scale of rewards is taken from.

    Attributes:
        running: Discounted sum of the rewards of the episode so far, one a lane. It belongs to the lanes of a device.
        moments: Moments of `running` over all steps, lanes and devices.
    """

    running: Float[Array, "*lanes"]
    moments: Moments


@checked
def init_reward_scale(lanes: tuple[int, ...] = ()) -> RewardScale:
    r"""Starts a scale of nothing.

    $$R = 0, \qquad n = 0$$

    Args:
        lanes: Axes of the lanes, such as `(envs,)`.

    Returns:
        The state, which leaves rewards as they are.

    Example:
        >>> init_reward_scale((2,)).running.tolist()
        [0.0, 0.0]

    References:
        Engstrom et al., *Implementation Matters in Deep Policy Gradients*, 2020, arXiv:2005.12729, section 3.
    """
    return RewardScale(jnp.zeros(lanes), init_moments(jnp.zeros(())))


@checked
def update_reward_scale(
    state: RewardScale,
    rewards: Float[Array, "time *lanes"],
    ends: Bool[Array, "time *lanes"],
    mask: Bool[Array, "time *lanes"] | Float[Array, "time *lanes"] | None = None,
    *,
    gamma: RealScalarLike = 0.99,
    axis_name: str | None = None,
) -> RewardScale:
    r"""Adds up rewards along each lane, and counts the sums.

    $$R_t = \gamma (1 - e_{t-1}) R_{t-1} + r_t$$

    Differentiable in the rewards and in the state.

    Args:
        state: The sums and their moments so far.
        rewards: $r_t$, in the units of the environment, in the order of time.
        ends: $e_t$, whether the episode ended with this step, by termination or truncation.
        mask: True, or anything but 0, for the steps that count; not a weight. A step that is dropped never happened:
            it moves no sum, ends nothing, and its reward may be NaN.
        gamma: $\gamma \in [0, 1]$, one number: not the discounts of the steps, which `ends` stands for.
        axis_name: Name of the mapped device axis, or None: the moments become those of all devices.

    Returns:
        The state.

    Raises:
        ValueError: If `gamma` is outside [0, 1], or the lanes are not those of the state.

    Example:
        >>> import jax.numpy as jnp
        >>> rewards, ends = jnp.array([1.0, 1.0, 5.0]), jnp.array([False, True, False])
        >>> state = update_reward_scale(init_reward_scale(), rewards, ends, gamma=0.5)
        >>> float(state.running), round(float(state.moments.mean), 4)  # of 1, 1.5, 5
        (5.0, 2.5)

    References:
        Engstrom et al., *Implementation Matters in Deep Policy Gradients*, 2020, arXiv:2005.12729, section 3.
    """
    gamma = guard(gamma, lambda gamma: (gamma >= 0) & (gamma <= 1), "update_reward_scale: gamma must be in [0, 1]")
    if state.running.shape != rewards.shape[1:]:
        raise ValueError(f"update_reward_scale: the state has lanes {state.running.shape}; got rewards {rewards.shape}")
    gamma = jnp.asarray(gamma, state.running.dtype)
    keep = jnp.ones(rewards.shape, bool) if mask is None else mask.astype(bool)

    def step(running, now):
        reward, end, counts = now
        total = gamma * running + reward
        return jnp.where(counts, jnp.where(end, 0, total), running), total

    running, totals = jax.lax.scan(step, state.running, (rewards.astype(state.running.dtype), ends, keep))
    return RewardScale(running, update_moments(state.moments, totals, keep, axis_name=axis_name))
