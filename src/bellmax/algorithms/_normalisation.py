"""Observations brought to mean 0 and variance 1, rewards to the scale of their returns."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._core import Batch, RealScalarLike, Spaces, Transition, example
from ..transforms import (
    Moments,
    RewardScale,
    init_moments,
    normalise,
    scale_reward,
    update_moments,
    update_reward_scale,
)


def observation_moments(spaces: Spaces) -> Moments:
    """Starts moments of every floating-point number of an observation.

    Raises:
        TypeError: If there is none.
    """
    numbers, _ = _numbers(example(spaces.observation))
    if not jax.tree.leaves(numbers):
        raise TypeError(f"normalise_observations: no part of the observation is floating point: {spaces.observation}")
    return init_moments(numbers)


def normalised(moments: Moments | None, observation: PyTree[Array]) -> Any:
    """Normalises observations with any batch axes, at most ten deviations wide; as they are without moments.

    What is not floating point stays: choices, bytes of images, action masks.
    """
    if moments is None:
        return observation
    numbers, rest = _numbers(observation)
    return eqx.combine(normalise(moments, numbers), rest)


def normalised_transition(moments: Moments | None, transition: Transition) -> Transition:
    """Normalises both observations of transitions."""
    if moments is None:
        return transition
    return dataclasses.replace(
        transition,
        observation=normalised(moments, transition.observation),
        next_observation=normalised(moments, transition.next_observation),
    )


def counted(moments: Moments | None, batch: Batch, axis_name: str | None) -> Moments | None:
    """Counts the observations of a batch, over all devices; one that is masked or not finite does not count."""
    if moments is None:
        return None
    numbers, _ = _numbers(batch.transition.observation)

    def finite(x, mean):
        return jnp.all(jnp.isfinite(x), axis=tuple(range(x.ndim - mean.ndim, x.ndim)))

    counts = jnp.all(jnp.stack(jax.tree.leaves(jax.tree.map(finite, numbers, moments.mean))), axis=0)
    counts = counts if batch.mask is None else counts & batch.mask
    return update_moments(moments, numbers, counts, axis_name=axis_name)


def scaled_rewards(
    moments: Moments | None, batch: Batch, discount: RealScalarLike, axis_name: str | None
) -> tuple[Moments | None, Batch]:
    """Divides rewards by the deviation of their running discounted return; as they are without moments.

    Args:
        moments: Of the running returns so far; None for no scaling.
        batch: A rollout; its `accumulators` are the running return of every lane.
        discount: γ.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The moments with this rollout's, and the batch with scaled rewards and with the running returns at its end. A
        reward that is not finite counts as zero where an episode ends with it, and else not at all.
    """
    if moments is None:
        return None, batch
    transition = batch.transition
    reward, ends = transition.reward, transition.terminated | transition.truncated
    finite = jnp.isfinite(reward)
    scale = update_reward_scale(
        RewardScale(batch.accumulators, moments),
        jnp.where(finite, reward, 0),
        ends,
        finite | ends,  # an end ends the running return whatever was paid with it
        gamma=discount,
        axis_name=axis_name,
    )
    scaled = dataclasses.replace(transition, reward=scale_reward(scale, reward))
    return scale.moments, dataclasses.replace(batch, transition=scaled, accumulators=scale.running)


def _numbers(observation: PyTree[Array]) -> tuple[Any, Any]:
    return eqx.partition(observation, lambda leaf: jnp.issubdtype(leaf.dtype, jnp.floating))
