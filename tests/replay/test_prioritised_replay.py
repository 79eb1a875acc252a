"""Prioritised replay: what is drawn how often, what it weighs, and what a bad priority does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bellmax.replay import PrioritisedReplay, Sample, importance_weights
from training.laws import assert_equal, avals, fast_jit


def slow(*cases):
    """Marks cases that the fast tier leaves out."""
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def filled(replay, count, chunk=1):
    """Adds the items 1 to count; an empty slot would show as 0."""
    state = replay.init(jnp.zeros(()))
    add = fast_jit(replay.add)
    for first in range(1, count + 1, chunk):
        state = add(state, jnp.arange(first, first + chunk, dtype=float))
    return state


def sample_of(*slots, chance=1.0, mask=None):
    return Sample(None, jnp.array(slots), mask, jnp.full(len(slots), chance))


def draws(replay, state, times, seed=0):
    keys = jax.random.split(jax.random.key(seed), times)
    sample = fast_jit(jax.vmap(lambda key: replay.sample(state, key=key)))(keys)
    return jax.tree.map(np.asarray, sample)


@pytest.mark.parametrize(
    ("count", "chunk"),
    [(3, 1), *slow((1, 1), (12, 4), (16, 8))],
)
def test_new_steps_are_all_alike_and_empty_slots_never_drawn(count, chunk):
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=0.6)
    found = draws(replay, filled(replay, count, chunk), 500).items.ravel()
    kept, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(kept, np.arange(max(count - 8, 0) + 1, count + 1))
    assert count == 1 or stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("exponent", [0.5, *slow([0.0], [1.0])])
def test_draws_follow_priorities(exponent):
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=exponent)
    state = filled(replay, 11)  # steps 4 to 11; of the nine slots 0 to 8, step i is in slot (i − 1) % 9
    priority = jnp.array([4.0, 1.0, 0.25, 2.25])
    state = replay.prioritise(state, sample_of(*((np.array([4, 6, 8, 10]) - 1) % 9)), priority)
    wanted = np.ones(12)
    wanted[[4, 6, 8, 10]] = np.asarray(priority) ** exponent
    wanted[:4] = 0
    wanted /= wanted.sum()
    sample = draws(replay, state, 5000)
    found = sample.items.astype(int)
    np.testing.assert_allclose(sample.chance, wanted[found], rtol=1e-5)
    counts = np.bincount(found.ravel(), minlength=12)
    assert stats.chisquare(counts[4:], wanted[4:] * found.size).pvalue > 1e-3


@pytest.mark.parametrize(("steps", "length"), [(3, 4), *slow((1, 4), (3, 1))])
def test_sequences_are_drawn_once_they_are_whole(steps, length):
    replay = PrioritisedReplay(capacity=8, sample_size=8, exponent=1.0, sequence_length=length)
    state, add = replay.init(jnp.zeros(())), fast_jit(replay.add)
    several = jax.vmap(lambda state, key: replay.sample(state, key=key), (None, 0), 1)
    sample = fast_jit(lambda state, key: several(state, jax.random.split(key, 8)))
    for call in range(1, 9):
        count = steps * call
        before, state = state, add(state, jnp.arange(count - steps + 1, count + 1, dtype=float))
        assert avals(before) == avals(state)
        found, wanted = sample(state, jax.random.key(call)), set(range(max(count - 8, 0) + 1, count - length + 2))
        if wanted:
            steps_found = np.asarray(found.items).reshape(length, -1)
            np.testing.assert_array_equal(steps_found, steps_found[0] + np.arange(length)[:, None])
            assert set(steps_found[0]) == wanted
        else:
            assert not np.asarray(found.chance).any()


@pytest.mark.slow
def test_new_steps_get_the_largest_priority_seen():
    replay = PrioritisedReplay(capacity=4, sample_size=1, exponent=0.5)
    state = replay.prioritise(filled(replay, 2), sample_of(0, 1), jnp.array([9.0, 0.5]))
    state = replay.add(state, jnp.array([3.0]))
    np.testing.assert_allclose(state.priorities.tree.get(jnp.arange(4)), [3.0, 0.5**0.5, 3.0, 0.0])
    # It stays when its step is written over.
    for item in (4.0, 5.0, 6.0, 7.0):
        state = replay.add(state, jnp.array([item]))
    np.testing.assert_allclose(np.sort(state.priorities.tree.levels[0][0, :5]), [0, 3, 3, 3, 3])


@pytest.mark.parametrize("bad", [np.nan, *slow([np.inf], [-np.inf], [-1.0])])
def test_example_without_a_priority_is_never_drawn_again(bad):
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=0.6)
    prioritise = fast_jit(replay.prioritise)
    state = prioritise(filled(replay, 8), sample_of(2, 5), jnp.full(2, bad))
    assert float(state.priorities.largest) == 1
    assert set(draws(replay, state, 500).items.ravel()) == {1, 2, 4, 5, 7, 8}
    nothing = prioritise(state, sample_of(*range(8)), jnp.full(8, bad))
    sample = draws(replay, nothing, 3)
    assert not sample.chance.any()
    assert np.isin(sample.slots, np.arange(9)).all()
    np.testing.assert_array_equal(importance_weights(sample.chance, 0.4), np.zeros((3, 4)))


def test_exponent_zero_draws_all_alike_and_what_could_not_be_drawn_stays_so():
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=0.0)
    state = replay.prioritise(filled(replay, 4), sample_of(0, 1, 2, 3), jnp.arange(4.0))
    np.testing.assert_array_equal(state.priorities.tree.get(jnp.arange(5)), [1, 1, 1, 1, 0])
    impossible = sample_of(4, chance=0.0)
    assert_equal(replay.prioritise(state, impossible, jnp.ones(1)).priorities, state.priorities)


@pytest.mark.slow
def test_largest_priority_of_an_example_drawn_twice_counts():
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=1.0)
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        priority = np.array([0.5, 2.0, 1.0], np.float32)[order]
        state = replay.prioritise(filled(replay, 8), sample_of(3, 3, 3), priority)
        assert float(state.priorities.tree.get(jnp.array([3]))[0]) == 2


def test_example_without_an_error_is_drawn_now_and_then():
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=0.5)
    state = replay.prioritise(filled(replay, 2), sample_of(0, 1), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(state.priorities.tree.get(jnp.arange(2)), [1e-3, 1.0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("extreme", [1e-37, 1e38])
def test_extreme_priorities_neither_vanish_nor_overflow(extreme):
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=1.0)
    state = replay.prioritise(filled(replay, 8), sample_of(*range(8)), jnp.full(8, extreme))
    sample = draws(replay, state, 500)
    np.testing.assert_allclose(sample.chance, 1 / 8, rtol=1e-6)
    assert set(sample.items.ravel()) == set(range(1, 9))


@pytest.mark.slow
def test_what_is_not_whole_is_never_drawn_again():
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=1.0)
    state = filled(replay, 8)
    after = replay.prioritise(state, sample_of(1, 2, mask=jnp.array([True, False])), jnp.array([5.0, 6.0]))
    np.testing.assert_allclose(after.priorities.tree.get(jnp.array([1, 2])), [5.0, 0.0])
    mask = jnp.array([[True, True], [False, True]])
    after = replay.prioritise(state, sample_of(1, 2, mask=mask), jnp.array([5.0, 6.0]))
    np.testing.assert_allclose(after.priorities.tree.get(jnp.array([1, 2])), [0.0, 6.0])


def test_missing_priority_is_refused():
    replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=1.0)
    with pytest.raises(ValueError, match="must return the priority of each example"):
        replay.prioritise(filled(replay, 8), sample_of(1, 2), None)


@pytest.mark.slow
def test_exponent_may_be_mapped_but_not_be_negative():
    def total(exponent):
        replay = PrioritisedReplay(capacity=4, sample_size=2, exponent=exponent)
        state = replay.add(replay.init(jnp.zeros(())), jnp.ones(2))
        return replay.prioritise(state, sample_of(0, 1), jnp.array([4.0, 9.0])).priorities.tree.total

    np.testing.assert_allclose(jax.vmap(total)(jnp.array([0.0, 0.5, 1.0])), [2, 5, 13], rtol=1e-6)
    with pytest.raises(ValueError, match="exponent must not be negative"):
        PrioritisedReplay(capacity=4, sample_size=2, exponent=-0.1)


def test_sequences_and_steps_must_fit_together():
    replay = PrioritisedReplay(capacity=4, sample_size=2, exponent=1.0, sequence_length=3)
    with pytest.raises(ValueError, match="3 steps at once with sequences of 3 do not fit into 4"):
        replay.add(replay.init(jnp.zeros(())), jnp.zeros(3))


# ----------------------------------------------------------------------------------------------------- weights


def test_weights_by_hand():
    # The least likely of all lanes weighs 1.
    chance = jnp.array([[0.5, 0.125], [0.25, 1.0]])
    np.testing.assert_allclose(importance_weights(chance, 1.0), [[0.25, 1.0], [0.5, 0.125]], rtol=1e-6)
    np.testing.assert_allclose(importance_weights(chance, 0.5), [[0.5, 1.0], [0.5**0.5, 0.125**0.5]], rtol=1e-6)
    np.testing.assert_array_equal(importance_weights(chance, 0.0), np.ones((2, 2)))


@pytest.mark.slow
def test_weights_undo_the_draws():
    # With β = 1 the weighted mean of any number over draws is its mean over all steps, up to the common factor.
    replay = PrioritisedReplay(capacity=8, sample_size=8, exponent=1.0)
    state = replay.prioritise(filled(replay, 8), sample_of(*range(8)), jnp.arange(1.0, 9.0))
    sample = draws(replay, state, 20_000)
    weight = np.asarray(importance_weights(sample.chance, 1.0))
    found = (weight * sample.items).sum() / weight.sum()
    assert abs(found - 4.5) < 0.05


@pytest.mark.slow
def test_weights_are_the_same_on_one_device_and_on_two():
    chance = jax.random.uniform(jax.random.key(0), (4, 3))
    wanted = importance_weights(chance, 0.7)
    found = jax.vmap(lambda chance: importance_weights(chance, 0.7, "devices"), axis_name="devices")(
        chance.reshape(2, 2, 3)
    )
    np.testing.assert_allclose(found.reshape(4, 3), wanted, rtol=1e-6)
