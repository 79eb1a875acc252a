"""What an algorithm is given out of replay, and what becomes of the priorities that it returns."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import algorithms, envs, training
from bellmax.algorithms import Feedback, OffPolicy
from bellmax.training import Learner
from training import laws

LANES = 4
SETTINGS = dict(rollout_length=3, updates=2, batch_size=16, capacity=80, warm_up=24)


class Reader(algorithms.AbstractAlgorithm):
    """Learns nothing, keeps the last batches: its state is the batches of one round, the newest last.

    The priority that it returns is the number of the update, from 1, times the first step's action: −1, 0 or 1 times.
    """

    needs: OffPolicy
    priority: Any = None

    @property
    def requirements(self):
        return self.needs

    def init(self, spaces, *, key):
        length = () if self.needs.sequence_length is None else (self.needs.sequence_length,)
        shape = (self.needs.updates, *length, self.needs.batch_size)
        zeros, no = jnp.zeros(shape), jnp.zeros(shape, bool)
        record = algorithms.Transition(jnp.zeros((*shape, 4), jnp.uint32), jnp.zeros((*shape, 1)), zeros,
                                       jnp.zeros((*shape, 4), jnp.uint32), no, no, None)  # fmt: skip
        weight = None
        if self.needs.priority_exponent is not None:
            weight = jnp.zeros((self.needs.updates, self.needs.batch_size))
        return record, weight, jnp.zeros((), jnp.int32)

    def act(self, state, observation, memory, *, step, key, explore=True):
        return jax.random.normal(key, (1,)), None, memory

    def update(self, state, batch, *, step, key, axis_name=None):
        records, weights, count = state

        def put(old, new):
            return jnp.concatenate([old[1:], self._all(new, axis_name)[None]])

        records = jax.tree.map(put, records, batch.transition)
        weights = jax.tree.map(put, weights, batch.weight)
        priority = None if self.priority is None else self.priority(batch, count)
        return (records, weights, count + 1), {"seen": jnp.ones(())}, Feedback(priority)

    def _all(self, leaf, axis_name):
        """Gathers what all devices have, in the order of lanes."""
        axis = 0 if self.needs.sequence_length is None else 1
        if axis_name is not None and leaf.ndim == 1:
            axis = 0
        return leaf if axis_name is None else jax.lax.all_gather(leaf, axis_name, axis=axis, tiled=True)


def trainer_of(priority=None, **settings):
    return training.Trainer(Reader(OffPolicy(**SETTINGS | settings), priority), laws.Diary(), LANES)


def run(trainer, calls, step=None):
    state = laws.fast_jit(trainer.init)(jax.random.key(0))
    step = step or laws.fast_jit(trainer.step)
    for _ in range(calls):
        state, metrics = step(state)
    return state, metrics


def steps_kept(state):
    """Reads every slot of every lane."""
    return laws.host(jax.vmap(lambda memory: memory.store.take(jnp.arange(21))[0])(state.local.kept.replay))


def test_sequences_are_consecutive_steps_of_one_lane():
    state, _ = run(trainer_of(sequence_length=3), 12)  # 36 steps a lane, 20 kept
    record = laws.host(state.shared.algorithm[0])
    assert record.reward.shape == (2, 3, 16)
    kept, position = steps_kept(state), np.asarray(state.local.kept.replay.store.position)
    ended = record.terminated | record.truncated
    assert ended[:, :-1].any(), "sequences should cross ends"
    for update in range(2):
        for example in range(16):
            # The lanes lie side by side in the batch, four examples each.
            lane = example // 4
            words = [tuple(each) for each in kept.next_observation[lane]]
            slots = [words.index(tuple(each)) for each in record.next_observation[update, :, example]]
            assert (np.diff(slots) % 21 == 1).all()
            assert position[lane] not in slots, "a window straddles the write head"
    # Inside an episode a successor is the next observation.
    going_on = ~ended[:, :-1]
    np.testing.assert_array_equal(record.next_observation[:, :-1][going_on], record.observation[:, 1:][going_on])


def test_nothing_is_lost_and_nothing_masked_where_observations_are_small():
    class Strict(Reader):
        def update(self, state, batch, *, step, key, axis_name=None):
            assert batch.mask is None
            assert batch.weight is None
            return super().update(state, batch, step=step, key=key, axis_name=axis_name)

    trainer = training.Trainer(Strict(OffPolicy(**SETTINGS)), laws.Diary(), LANES)
    assert jax.eval_shape(trainer.step, jax.eval_shape(trainer.init, jax.random.key(0)))


def first_word(batch):
    """Of each example the first word of its first successor: a random number, different for every step."""
    words = batch.transition.next_observation[..., 2]
    return (words if words.ndim == 1 else words[0]) % 997 / 997.0


def test_priorities_go_from_update_to_update():
    # The first update gives all that it sees zero, so the second never sees it again; then all get theirs back.
    def priority(batch, count):
        return jnp.where(count % 2 == 0, 0.0, 1.0 + 0 * first_word(batch))

    state, _ = run(trainer_of(priority, priority_exponent=1.0, updates=2), 5)
    record, weights, count = laws.host(state.shared.algorithm)
    assert count >= 2
    first, second = ({tuple(each) for each in words} for words in record.next_observation)
    assert not first & second
    leaves = np.asarray(state.local.kept.replay.priorities.tree.levels[0]).reshape(LANES, -1)
    # Of 15 steps a lane, what the first updates drew stays at the smallest there is, all others have one.
    assert set(leaves[:, :15].ravel()) == {np.float32(1e-6), 1.0}
    assert (weights <= 1).all()
    assert (weights.max(axis=1) == 1).all()


@pytest.mark.slow
def test_priorities_are_written_where_they_were_drawn():
    def priority(batch, count):
        return 1e-3 + first_word(batch)

    for length in (None, 2):
        trainer = trainer_of(priority, priority_exponent=0.5, sequence_length=length, updates=3)
        state, _ = run(trainer, 7)
        memory = laws.host(state.local.kept.replay)
        numbers = memory.priorities.tree.levels[0].reshape(LANES, -1)[:, :21]
        words = steps_kept(state).next_observation[:, :, 2] % 997 / 997.0
        fresh = memory.priorities.largest[:, None] == numbers
        wanted = np.sqrt(1e-3 + words)
        # In use are the newest 20 steps; a sequence of two does not begin in the newest one.
        newest = (memory.store.position[:, None] - 1 - np.arange(21)) % 21
        for lane in range(LANES):
            used = newest[lane][(length or 1) - 1 : 20]
            given = ~fresh[lane][used] & (numbers[lane][used] != 1.0)
            assert given.sum() > 5
            np.testing.assert_allclose(numbers[lane][used][given], wanted[lane][used][given], rtol=1e-4)
            assert not numbers[lane][np.setdiff1d(np.arange(21), used)].any()


@pytest.mark.slow
def test_importance_exponent_is_read_at_the_step():
    def priority(batch, count):
        return 1e-3 + first_word(batch)

    schedule = lambda step: jnp.where(step < 60, 0.0, 1.0)  # noqa: E731
    trainer = trainer_of(priority, priority_exponent=1.0, importance_exponent=schedule)
    state, _ = run(trainer, 5)  # the fifth call begins after 48 steps
    np.testing.assert_array_equal(state.shared.algorithm[1], np.ones((2, 16)))
    state, _ = run(trainer, 7)
    assert (np.asarray(state.shared.algorithm[1]) < 0.9).any()


@pytest.mark.slow
def test_warm_up_leaves_priorities_alone():
    state, metrics = run(trainer_of(lambda batch, count: first_word(batch), priority_exponent=1.0), 2)
    assert float(metrics["seen"].weight) == 0
    numbers = np.asarray(state.local.kept.replay.priorities.tree.levels[0]).reshape(LANES, -1)
    np.testing.assert_array_equal(numbers[:, :7], [[1] * 6 + [0]] * LANES)


@pytest.mark.slow
def test_examples_without_a_finite_priority_are_not_drawn_again():
    trainer = trainer_of(lambda batch, count: jnp.nan * first_word(batch), priority_exponent=1.0)
    state, metrics = run(trainer, 5)
    assert float(metrics["seen"].weight) == 2
    numbers = np.asarray(state.local.kept.replay.priorities.tree.levels[0]).reshape(LANES, -1)
    assert set(numbers[:, :15].ravel()) == {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"priority_exponent": 0.7, "sequence_length": 2}, {"sequence_length": 2}])
def test_two_devices_see_what_one_sees(settings):
    trainer = trainer_of(lambda batch, count: 1e-3 + first_word(batch), **settings)
    step, split = laws.fast_jit(trainer.step), laws.fast_jit(laws.on_devices(trainer.step))
    state = laws.fast_jit(trainer.init)(jax.random.key(0))
    spread = laws.cut(state, 2)
    for _ in range(4):
        state, _ = step(state)
        spread, _ = split(spread)
    record, weights, _ = laws.host(state.shared.algorithm)
    found, found_weights, _ = laws.host(spread.shared.algorithm)
    laws.assert_equal(found, record)
    joined = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), spread.local.kept)
    laws.assert_equal(joined.replay.store, state.local.kept.replay.store)
    if weights is not None:
        np.testing.assert_allclose(found_weights, weights, rtol=1e-5)
        assert laws.largest_difference(joined.replay.priorities, state.local.kept.replay.priorities) < 1e-6


@pytest.mark.slow
def test_lost_final_observations_are_masked():
    # Large observations: one final observation is kept for each 8 steps, and episodes last 2 steps on average.
    class Large(laws.Diary):
        def _write(self, is_reset, time, words):
            return jnp.tile(super()._write(is_reset, time, words), 65)

        @property
        def spaces(self):
            small = super().spaces
            box = type(small.observation)(0, 2**32 - 1, (260,), np.uint32)
            return envs.Spaces(box, small.action)

    class Masks(Reader):
        def init(self, spaces, *, key):
            return jnp.zeros((16,), bool), jnp.zeros((16,), bool)

        def update(self, state, batch, *, step, key, axis_name=None):
            seen = batch.transition
            right = (seen.next_observation[:, 0] == 0) & (seen.next_observation[:, 1] == seen.observation[:, 1] + 1)
            return (batch.mask, right), {}, Feedback()

    trainer = training.Trainer(Masks(OffPolicy(**SETTINGS)), Large(), LANES)
    state, _ = run(trainer, 12)
    mask, right = (np.asarray(leaf) for leaf in state.shared.algorithm)
    assert 0 < mask.sum() < 16
    assert right[mask].all(), "a wrong successor counts"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_length": 20}, "with sequences of 20 steps capacity must be at least 88"),
        ({"sequence_length": 7}, "and warm_up at least 28; got 80 and 24"),
    ],
)
def test_sequences_must_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        trainer_of(**settings)


def test_priorities_must_be_returned():
    trainer = trainer_of(priority_exponent=1.0)
    with pytest.raises(ValueError, match="an update must return the priority of each example"):
        jax.eval_shape(trainer.step, jax.eval_shape(trainer.init, jax.random.key(0)))


def test_replay_is_as_large_as_asked():
    assert isinstance(trainer_of().learner, Learner)
    memory = jax.eval_shape(trainer_of().init, jax.random.key(0)).local.kept.replay
    assert memory.store.rows.shape[:2] == (LANES, 21)
    assert eqx.tree_equal(memory.priorities, None)
