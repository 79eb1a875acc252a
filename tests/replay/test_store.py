"""Steps come back as they went in, against a plain list: past the wrap, over ends of each kind, in sequences."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax._core import Masked, Transition
from bellmax.replay import PrioritisedReplay, Store, UniformReplay
from training.laws import assert_equal, avals, fast_jit, host

CAPACITY = 11


class Stream:
    """Consecutive steps of one lane whose observations are all different numbers, from 1 on."""

    def __init__(self, seed, end=0.4):
        self.draws, self.end, self.last, self.now = np.random.default_rng(seed), end, 1, 1

    def fresh(self):
        self.last += 1
        return self.last

    def step(self):
        """Returns a step as plain numbers: observation, successor, and the two ends."""
        ends = self.draws.random(2) < self.end / 2
        observation, successor = self.now, self.fresh()
        self.now = self.fresh() if ends.any() else successor
        return observation, successor, bool(ends[0]), bool(ends[1])


def observed(numbers):
    """An observation as a tree, of several shapes and types, with a mask beside it."""
    numbers = np.asarray(numbers, np.int32)
    picture = numbers[..., None, None] * np.array([[1, -1]], np.int32)
    return Masked(
        {"picture": picture, "number": numbers.astype(np.float32)}, numbers[..., None] % np.array([2, 3]) == 0
    )


def transition(steps):
    """Makes a record with a leading time axis."""
    observation, successor, terminated, truncated = (np.array(column) for column in zip(*steps, strict=True))
    action, reward = (observation % 5).astype(np.int32), np.float32(0.5) * observation.astype(np.float32)
    return Transition(observed(observation), action, reward, observed(successor), terminated, truncated, None)


EXAMPLE = jax.tree.map(lambda leaf: leaf[0], transition([(0, 0, False, False)]))


@functools.cache
def compiled(capacity, sequence_length=None, final_capacity=None):
    replay = UniformReplay(capacity, 1, sequence_length, final_capacity)
    take = fast_jit(lambda state: state.store.take(state.store.slots_from(jnp.arange(CAPACITY) - state.store.count)))
    return replay, fast_jit(replay.add), take


class Oracle:
    """The newest steps, and the newest final observations, in plain lists."""

    def __init__(self, capacity, finals):
        self.steps = collections.deque(maxlen=capacity)
        self.finals = collections.deque(maxlen=finals)

    def add(self, steps):
        for step in steps:
            self.steps.append(step)
            if step[2] or step[3]:
                self.finals.append(step[1])

    def whole(self):
        return np.array([not (step[2] or step[3]) or step[1] in self.finals for step in self.steps])


def assert_holds(state, take, oracle):
    """Reads all steps, the oldest first, and compares."""
    count = len(oracle.steps)
    assert int(state.store.count) == count
    items, whole = host(take(state))
    items, wanted = jax.tree.map(lambda leaf: leaf[:count], (items, transition([*oracle.steps])))
    if whole is None:
        whole = np.ones(CAPACITY, bool)
    np.testing.assert_array_equal(whole[:count], oracle.whole())
    successor = (items.next_observation, wanted.next_observation)
    found, expected = (jax.tree.map(lambda leaf: leaf[oracle.whole()], tree) for tree in successor)
    assert_equal(found, expected)
    for name in ("observation", "action", "reward", "terminated", "truncated"):
        assert_equal(getattr(items, name), getattr(wanted, name))


SLOW = [(each, seeds) for each in (None, CAPACITY, 2, 1) for seeds in (((0, 0.4),), ((1, 0.9), (2, 0.1)))]


@pytest.mark.parametrize(
    ("final_capacity", "seeds"), [(2, ((3, 0.4),)), *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)]
)
def test_steps_come_back_as_they_went_in(final_capacity, seeds):
    replay, add, take = compiled(CAPACITY, None, final_capacity)
    for seed, end in seeds:
        stream, oracle, state = Stream(seed, end), Oracle(CAPACITY, final_capacity or CAPACITY), replay.init(EXAMPLE)
        # Rounds of several lengths, to the whole capacity at once, over the wrap at several places.
        for length in (1, 4, 1, 1, 4, CAPACITY, 4, 1, 4, CAPACITY, 1):
            steps = [stream.step() for _ in range(length)]
            oracle.add(steps)
            before, state = state, add(state, transition(steps))
            assert avals(state) == avals(before)
            assert_holds(state, take, oracle)


@pytest.mark.slow
@pytest.mark.parametrize("final_capacity", [None, 3])
def test_sequences_are_consecutive_steps(final_capacity):
    length, draws = 3, 200
    replay = UniformReplay(256, draws, length, final_capacity)
    add, sample = fast_jit(replay.add), fast_jit(lambda state, key: replay.sample(state, key=key))
    stream, oracle, state = Stream(5), Oracle(256, final_capacity or 256), replay.init(EXAMPLE)
    for call in range(100):
        steps = [stream.step() for _ in range(4)]
        oracle.add(steps)
        state = add(state, transition(steps))
        if call not in (0, 3, 99):
            continue
        found = host(sample(state, jax.random.key(call)))
        numbers = [step[0] for step in oracle.steps]
        first = np.array([numbers.index(number) for number in found.items.observation.observation["number"][0]])
        assert first.max() <= len(numbers) - length
        wanted = transition([oracle.steps[each] for each in (first + np.arange(length)[:, None]).ravel()])
        wanted = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(length, draws, *leaf.shape[1:]), wanted)
        whole = np.ones((length, draws), bool) if found.mask is None else found.mask
        np.testing.assert_array_equal(whole, oracle.whole()[first + np.arange(length)[:, None]])
        assert_equal(found.items.observation, wanted.observation)
        assert_equal(found.items.truncated, wanted.truncated)
        successor = (found.items.next_observation, wanted.next_observation)
        assert_equal(*(jax.tree.map(lambda leaf, whole=whole: leaf[whole], tree) for tree in successor))
        assert (wanted.terminated | wanted.truncated)[:-1].any(), "a sequence should cross an end"


def test_every_window_and_no_other_is_drawn():
    # Six steps in a ring of five: the windows of three begin at the second, third and fourth step.
    replay = UniformReplay(5, 5, 3)
    add = fast_jit(replay.add)
    state = add(add(replay.init(jnp.zeros(())), np.arange(1, 4, dtype=np.float32)), np.arange(4, 7, dtype=np.float32))
    keys = jax.random.split(jax.random.key(0), 60)
    found = fast_jit(jax.vmap(lambda key: replay.sample(state, key=key).items, out_axes=1))(keys)
    found = np.asarray(found).reshape(3, 300)
    np.testing.assert_array_equal(found, found[0] + np.arange(3)[:, None])
    assert set(found[0]) == {2, 3, 4}


def test_observations_are_kept_once_where_they_are_large():
    def sizes(pixels, capacity=32):
        picture, number, no = jnp.zeros(pixels, jnp.uint8), jnp.zeros(()), jnp.zeros((), bool)
        example = Transition(picture, number, number, picture, no, no)
        store = UniformReplay(capacity, 1).init(example).store
        return store.rows.shape, store.observations, store.finals

    # Action and reward are a word each, the two ends two bytes of a third.
    rows, observations, finals = sizes(1025)
    assert (rows, observations.shape, finals.owner.shape) == ((33, 3), (33 + 4, 1025), (4,))
    rows, observations, finals = sizes(1024)
    assert (rows, observations, finals) == ((33, 3 + 2 * 256), None, None)


def test_million_stacked_pictures_fit():
    # By arithmetic over the shapes: nothing is allocated.
    picture = jax.ShapeDtypeStruct((84, 84, 4), jnp.uint8)
    number, flag = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_)
    example = Transition(picture, jax.ShapeDtypeStruct((), jnp.int32), number, picture, flag, flag)
    for replay in (UniformReplay(10**6, 32), PrioritisedReplay(10**6, 32, 0.6)):
        state = jax.eval_shape(lambda replay=replay: replay.init(example))
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
        assert 1.12 < size / (10**6 * 84 * 84 * 4) < 1.13


@pytest.mark.slow
def test_overflow_of_final_observations_in_one_addition():
    # Five ends at once, room for two: the last two are whole.
    replay, add, take = compiled(CAPACITY, None, 2)
    stream, oracle = Stream(0, end=2.0), Oracle(CAPACITY, 2)
    steps = [stream.step() for _ in range(5)]
    oracle.add(steps)
    assert oracle.whole().sum() == 2
    assert_holds(add(replay.init(EXAMPLE), transition(steps)), take, oracle)


@pytest.mark.slow
def test_positions_never_leave_the_ring():
    # The ring never counts what it was given, so there is nothing to overflow; final observations neither.
    replay, add, _ = compiled(CAPACITY, None, 2)
    stream, state = Stream(3), replay.init(EXAMPLE)
    for _ in range(200):
        state = add(state, transition([stream.step()]))
        assert 0 <= int(state.store.position) <= CAPACITY
        assert 0 <= int(state.store.finals.position) < 2


@pytest.mark.slow
def test_lanes_together_equal_lanes_alone():
    replay = UniformReplay(CAPACITY, 5, 2, 2)
    add, sample = fast_jit(jax.vmap(replay.add)), fast_jit(jax.vmap(lambda state, key: replay.sample(state, key=key)))
    keys = jax.random.split(jax.random.key(0), 3)
    streams = [Stream(seed) for seed in range(3)]
    together, alone = jax.vmap(lambda _: replay.init(EXAMPLE))(jnp.arange(3)), [replay.init(EXAMPLE)] * 3
    one, draw = fast_jit(replay.add), fast_jit(lambda state, key: replay.sample(state, key=key))
    for _ in range(5):
        parts = [transition([stream.step() for _ in range(4)]) for stream in streams]
        together = add(together, jax.tree.map(lambda *leaves: np.stack(leaves), *parts))
        alone = [one(state, part) for state, part in zip(alone, parts, strict=True)]
    drawn = sample(together, keys)
    for lane in range(3):
        assert_equal(jax.tree.map(lambda leaf, lane=lane: leaf[lane], together), alone[lane])
        assert_equal(jax.tree.map(lambda leaf, lane=lane: leaf[lane], drawn), draw(alone[lane], keys[lane]))


def test_addition_happens_in_place():
    replay = UniformReplay(CAPACITY, 1, None, 2)
    state = jax.jit(replay.init)(EXAMPLE)
    kept = (state.store.rows, state.store.observations)
    pointers = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(kept)}
    after = jax.jit(replay.add, donate_argnums=0)(state, transition([Stream(0).step()]))
    kept = (after.store.rows, after.store.observations)
    assert {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(kept)} == pointers


def test_more_steps_than_fit_are_refused():
    replay = UniformReplay(4, 1)
    with pytest.raises(ValueError, match="5 steps at once do not fit into a replay of 4"):
        replay.add(replay.init(jnp.zeros(())), jnp.zeros(5))


def test_only_transitions_have_final_observations():
    with pytest.raises(TypeError, match="only transitions have final observations"):
        Store.empty(jnp.zeros(3), 8, 2)


@pytest.mark.parametrize(("name", "value"), [("sequence_length", 0), ("sequence_length", 9), ("final_capacity", 0)])
def test_sizes_that_do_not_fit_are_refused(name, value):
    with pytest.raises(ValueError, match=f"UniformReplay: {name} must be"):
        UniformReplay(8, 1, **{name: value})
