"""Rewards on the scale of their returns, without centring."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard
from ._normalise import words
from ._reward_scale import RewardScale


@checked
def scale_reward(
    state: RewardScale,
    reward: Float[Array, "*batch"],
    *,
    clip: RealScalarLike | None = 10.0,
    epsilon: RealScalarLike = 1e-8,
) -> Float[Array, "*batch"]:
    r"""Divides rewards by the standard deviation of the running return, without centring.

    $$r' = \min(\max(r / \sqrt{\mathrm{Var}(R) + \epsilon}, -c), c)$$

    Before anything was counted the variance is 1. With $\epsilon = 0$ and an $R$ that never varied a reward
    of zero gives NaN.

    Args:
        state: Moments of $R$.
        reward: $r$, in the units of the environment.
        clip: $c > 0$, no unit; None for no clip.
        epsilon: $\epsilon \ge 0$, in the units of the rewards squared.

    Returns:
        $r'$, without units. Differentiable in the reward and in the moments.

    Raises:
        ValueError: If `clip` is not positive or `epsilon` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.transforms import init_reward_scale, update_reward_scale
        >>> rewards, ends = jnp.array([1.0, 5.0]), jnp.array([True, True])
        >>> scale_reward(update_reward_scale(init_reward_scale(), rewards, ends), jnp.array([3.0])).tolist()
        [1.5]

    References:
        Engstrom et al., *Implementation Matters in Deep Policy Gradients*, 2020, arXiv:2005.12729, section 3.
    """
    epsilon = guard(epsilon, lambda epsilon: epsilon >= 0, "scale_reward: epsilon must be at least 0")
    wide = at_least_float32(reward)
    variance = words(state.moments)[2].astype(wide.dtype)
    scaled = wide / jnp.sqrt(variance + jnp.asarray(epsilon, wide.dtype))
    if clip is not None:
        largest = jnp.asarray(guard(clip, lambda clip: clip > 0, "scale_reward: clip must be above 0"), wide.dtype)
        scaled = jnp.clip(scaled, -largest, largest)
    return scaled.astype(reward.dtype)
