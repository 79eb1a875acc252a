"""Learning from what was just done, or from what is remembered."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._core import Batch, Mean, lane_keys, model_scan, value_at
from ..algorithms import AbstractAlgorithm, OffPolicy
from ..replay import AbstractReplay, ReplayState, Sample, importance_weights


def learn_on_policy(algorithm: AbstractAlgorithm, state, batch: Batch, *, step, key, axis_name):
    """Updates once from the rollout."""
    state, metrics, feedback = algorithm.update(state, batch, step=step, key=key, axis_name=axis_name)
    return state, _as_means(metrics), feedback


def learn_off_policy(
    algorithm: AbstractAlgorithm,
    replay: AbstractReplay,
    state,
    memories: ReplayState,
    *,
    step: Float[Array, ""],
    key: Key[Array, ""],
    axis_name: str | None,
):
    """Updates some times, each time from as many examples of every lane; not before the warm-up is over.

    Args:
        algorithm: What learns.
        replay: The memory of one lane.
        state: The algorithm's state.
        memories: What the lanes' memories hold, with a leading axis of lanes.
        step: Count of environment steps.
        key: Randomness of this round.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The algorithm's state, the memories with the priorities that the updates found, and the metrics.
    """
    needs = algorithm.requirements
    assert isinstance(needs, OffPolicy)

    def update(carry, key):
        state, priorities = carry
        now = dataclasses.replace(memories, priorities=priorities)
        sample_key, update_key = jax.random.split(key)
        sample, batch = _drawn(replay, now, value_at(needs.importance_exponent, step), sample_key, axis_name)
        state, metrics, feedback = algorithm.update(state, batch, step=step, key=update_key, axis_name=axis_name)
        if priorities is not None:
            priority = jax.tree.map(lambda leaf: leaf.reshape(sample.slots.shape), feedback.priority)
            priorities = jax.vmap(replay.prioritise, (0, _lane_axes(replay), 0))(now, sample, priority).priorities
        return (state, priorities), _as_means(metrics)

    def learn(carry):
        carry, metrics = model_scan(update, carry, jax.random.split(key, needs.updates))
        return carry, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), metrics)

    def wait(carry):
        metrics = jax.eval_shape(learn, carry)[1]
        return carry, jax.tree.map(jnp.zeros_like, metrics)

    # Only the priorities go from update to update: the steps, which may fill the memory of the machine, stay in place.
    (state, priorities), metrics = jax.lax.cond(step >= needs.warm_up, learn, wait, (state, memories.priorities))
    return state, dataclasses.replace(memories, priorities=priorities), metrics


def _drawn(
    replay: AbstractReplay, memories: ReplayState, importance_exponent, key: Key[Array, ""], axis_name: str | None
) -> tuple[Sample, Batch]:
    """Draws as much from each lane; returns what each gave, and all as one batch, with the axis of lanes outside."""
    keys = lane_keys(key, jax.tree.leaves(memories)[0].shape[0], axis_name)
    axes = _lane_axes(replay)
    sample = jax.vmap(lambda memory, key: replay.sample(memory, key=key), out_axes=axes)(memories, keys)
    axis = axes.items

    def joined(leaf):
        return leaf.reshape(*leaf.shape[:axis], -1, *leaf.shape[axis + 2 :])

    weight = None
    if sample.chance is not None:
        weight = importance_weights(sample.chance, importance_exponent, axis_name).reshape(-1)
    items, mask = jax.tree.map(joined, (sample.items, sample.mask))
    return sample, Batch(items, weight=weight, mask=mask)


def _lane_axes(replay: AbstractReplay) -> Any:
    """Where the lanes go in a sample of all of them: behind the time axis of sequences."""
    axis: Any = 0 if replay.sequence_length is None else 1
    first: Any = 0
    return Sample(items=axis, slots=first, mask=axis, chance=first)


def _as_means(metrics: dict[str, Float[Array, ""]]) -> dict[str, Mean]:
    """Gives a metric weight where it is finite, so that one update that was skipped does not hide all others."""
    return {name: Mean.of(value, jnp.isfinite(value).astype(value.dtype)) for name, value in metrics.items()}
