"""A chunk is its steps, and its metrics their sum."""

import jax
import numpy as np
import pytest

from bellmax import envs, training
from training import laws


@pytest.fixture(scope="module")
def compiled():
    # Episodes of 1 to 6 steps, a step a call: some calls finish none.
    trainer = training.Trainer(laws.Forward(), envs.Chain(length=6), 2)
    state = laws.fast_jit(trainer.init)(jax.random.key(0))
    traces = []

    def chunk(state, calls):
        traces.append(1)
        return training.train_chunk(trainer, state, calls)

    return state, laws.fast_jit(chunk), laws.fast_jit(trainer.step), traces


def test_chunk_equals_its_steps_and_adds_their_metrics_up(compiled):
    state, chunk, step, _ = compiled
    after, metrics = chunk(state, 9)
    totals, weights = {}, []
    for _ in range(9):
        state, new = step(state)
        weights.append(float(new["episode_return"].weight))
        totals = {name: totals[name] + mean for name, mean in new.items()} if totals else new
    laws.assert_equal(after, state)
    assert int(after.shared.steps) == 18
    assert min(weights) == 0 < sum(weights), "some calls should finish no episode"
    for name, mean in totals.items():
        np.testing.assert_array_equal(metrics[name].weight, mean.weight)
        np.testing.assert_allclose(metrics[name].total, mean.total, rtol=1e-6)
        assert np.isfinite(mean.value)


def test_chunks_of_any_length_are_one_compilation(compiled):
    state, chunk, _, traces = compiled
    for calls in (1, 2, 3):
        after, _ = chunk(state, calls)
        assert int(after.shared.steps) == 2 * calls
    assert len(traces) == 1


def test_empty_chunk_changes_nothing_and_knows_nothing(compiled):
    state, chunk, *_ = compiled
    after, metrics = chunk(state, 0)
    laws.assert_equal(after, state)
    assert all(np.isnan(mean.value) for mean in metrics.values())
