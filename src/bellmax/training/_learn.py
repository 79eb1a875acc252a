"""Learning from what was just done, or from what is remembered."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._core import Batch, Mean, lane_keys, model_scan
from ..algorithms import AbstractAlgorithm, OffPolicy
from ..replay import UniformReplay


def learn_on_policy(algorithm: AbstractAlgorithm, state, batch: Batch, *, step, key, axis_name):
    """Updates once from the rollout."""
    state, metrics, feedback = algorithm.update(state, batch, step=step, key=key, axis_name=axis_name)
    return state, _as_means(metrics), feedback


def learn_off_policy(
    algorithm: AbstractAlgorithm,
    replay: UniformReplay,
    state,
    memories,
    *,
    step: Float[Array, ""],
    key: Key[Array, ""],
    axis_name: str | None,
):
    """Updates some times, each time from as many transitions of every lane; not before the warm-up is over."""
    needs = algorithm.requirements
    assert isinstance(needs, OffPolicy)
    lanes = jax.tree.leaves(memories)[0].shape[0]

    def update(state, key):
        sample_key, update_key = jax.random.split(key)
        keys = lane_keys(sample_key, lanes, axis_name)
        sample = jax.vmap(lambda memory, key: replay.sample(memory, key=key))(memories, keys)
        batch = Batch(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), sample))
        state, metrics, _ = algorithm.update(state, batch, step=step, key=update_key, axis_name=axis_name)
        return state, _as_means(metrics)

    def learn(state):
        state, metrics = model_scan(update, state, jax.random.split(key, needs.updates))
        return state, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), metrics)

    def wait(state):
        metrics = jax.eval_shape(learn, state)[1]
        return state, jax.tree.map(jnp.zeros_like, metrics)

    return jax.lax.cond(step >= needs.warm_up, learn, wait, state)


def _as_means(metrics: dict[str, Float[Array, ""]]) -> dict[str, Mean]:
    """Gives a metric weight where it is finite, so that one update that was skipped does not hide all others."""
    return {name: Mean.of(value, jnp.isfinite(value).astype(value.dtype)) for name, value in metrics.items()}
