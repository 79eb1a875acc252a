"""What goes into replay comes out: the newest, all alike, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bellmax.replay import UniformReplay
from training.laws import assert_equal, avals, fast_jit


def filled(replay, count, chunk=1):
    """Adds the items 1 to count; an empty slot would show as 0."""
    state = replay.init(jnp.zeros(()))
    add = fast_jit(replay.add)
    for first in range(1, count + 1, chunk):
        state = add(state, jnp.arange(first, first + chunk, dtype=float))
    return state


def draws(replay, state, times, seed=0):
    keys = jax.random.split(jax.random.key(seed), times)
    return np.asarray(fast_jit(jax.vmap(lambda key: replay.sample(state, key=key).items))(keys)).ravel()


@pytest.mark.parametrize(("count", "chunk"), [(1, 1), (3, 1), (7, 1), (8, 1), (8, 4), (12, 4), (21, 3), (16, 8)])
def test_ring_holds_the_newest_and_never_an_empty_slot(count, chunk):
    replay = UniformReplay(capacity=8, sample_size=4)
    found = draws(replay, filled(replay, count, chunk), 100)
    assert set(found) == set(range(max(count - 8, 0) + 1, count + 1))


@pytest.mark.parametrize("count", [5, 8, 11])
def test_draws_are_uniform(count):
    replay = UniformReplay(capacity=8, sample_size=4)
    found = draws(replay, filled(replay, count), 2000)
    _, counts = np.unique(found, return_counts=True)
    assert len(counts) == min(count, 8)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_draws_of_one_sample_are_independent():
    # With replacement: all pairs of slots are as likely, a slot with itself too.
    replay = UniformReplay(capacity=4, sample_size=2)
    found = draws(replay, filled(replay, 4), 8000).reshape(-1, 2).astype(int) - 1
    counts = np.bincount(found[:, 0] * 4 + found[:, 1], minlength=16)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_sample_has_the_structure_shapes_and_types_of_the_items():
    replay = UniformReplay(capacity=8, sample_size=3)
    item = {"a": jnp.zeros((2, 5), jnp.int32), "b": (jnp.zeros((), bool), jnp.zeros(4, jnp.bfloat16))}
    state = replay.init(item)
    after = jax.jit(replay.add)(
        state, jax.tree.map(lambda leaf: jnp.stack([leaf + 1, leaf + 1]).astype(leaf.dtype), item)
    )
    assert avals(after) == avals(state)
    sample = replay.sample(after, key=jax.random.key(0)).items
    assert jax.tree.structure(sample) == jax.tree.structure(item)
    for drawn, leaf in zip(jax.tree.leaves(sample), jax.tree.leaves(item), strict=True):
        assert (drawn.shape, drawn.dtype) == ((3, *leaf.shape), leaf.dtype)
        assert bool((drawn == 1).all())


def test_items_stay_whole():
    # What was added as one comes back as one, past the wrap too.
    replay = UniformReplay(capacity=8, sample_size=8)
    state = replay.init((jnp.zeros(()), jnp.zeros(2)))
    add = fast_jit(replay.add)
    for first in range(0, 24, 4):
        numbers = jnp.arange(first, first + 4, dtype=float)
        state = add(state, (numbers, jnp.stack([-numbers, 10 * numbers], axis=-1)))
    number, pair = replay.sample(state, key=jax.random.key(0)).items
    np.testing.assert_array_equal(pair, np.stack([-number, 10 * number], axis=-1))


def test_one_replay_a_lane():
    replay = UniformReplay(capacity=4, sample_size=2)
    states = jax.vmap(lambda _: replay.init(jnp.zeros(())))(jnp.arange(3))
    add = jax.jit(jax.vmap(replay.add))
    singles, add_one = [replay.init(jnp.zeros(())) for _ in range(3)], jax.jit(replay.add)
    for time in range(6):
        items = 10.0 * jnp.arange(1, 4)[:, None] + time
        states = add(states, items)
        singles = [add_one(single, item) for single, item in zip(singles, items, strict=True)]
    keys = jax.random.split(jax.random.key(0), 3)
    sample = jax.vmap(lambda state, key: replay.sample(state, key=key).items)(states, keys)
    for lane in range(3):
        assert_equal(jax.tree.map(lambda leaf, lane=lane: leaf[lane], states), singles[lane])
        np.testing.assert_array_equal(sample[lane], replay.sample(singles[lane], key=keys[lane]).items)
        assert set(np.asarray(sample[lane]) - 10 * (lane + 1)) <= {2, 3, 4, 5}


def test_same_key_draws_the_same():
    replay = UniformReplay(capacity=8, sample_size=8)
    state = filled(replay, 8)
    sample = fast_jit(lambda key: replay.sample(state, key=key).items)
    assert_equal(sample(jax.random.key(1)), sample(jax.random.key(1)))
    assert (np.asarray(sample(jax.random.key(1))) != np.asarray(sample(jax.random.key(2)))).any()


@pytest.mark.parametrize(("capacity", "sample_size"), [(3, 4), (4, 0), (0, 0), (0, 1)])
def test_sizes_that_do_not_fit_are_refused(capacity, sample_size):
    with pytest.raises(ValueError, match=rf"capacity {capacity} must hold at least one sample of {sample_size}"):
        UniformReplay(capacity, sample_size)
