"""Wrappers keep the protocol, stack in any order and end episodes rightly."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import algorithms, envs, training
from bellmax.envs import Spaces, Step, wrappers
from training.laws import avals, fast_jit


class Counting(envs.AbstractEnvironment):
    """Counts its steps, pays the count plus the sum of the action and ends as it is told to."""

    terminates_at: int = 3
    truncates_at: int = 100
    action: str = eqx.field(static=True, default="discrete")
    masked: bool = eqx.field(static=True, default=False)

    @property
    def spaces(self):
        observation = kinds.Box(-10.0, 100.0, (2,), np.float32)
        if self.masked:
            observation = kinds.Dict({"observation": observation, "action_mask": kinds.MultiBinary(2)})
        low, high = np.array([[-1.0, 0.0]], np.float32), np.array([[1.0, 4.0]], np.float32)
        action = kinds.Discrete(2) if self.action == "discrete" else kinds.Box(low, high)
        return Spaces(observation, action)

    def reset(self, *, key):
        offset = jax.random.uniform(key)
        return (jnp.zeros((), jnp.int32), offset), self._observe(jnp.zeros((), jnp.int32), offset)

    def step(self, state, action, *, key):
        del key
        time, offset = state[0] + 1, state[1]
        reward = time.astype(float) + jnp.sum(action)
        ends = time >= self.terminates_at, time >= self.truncates_at
        return (time, offset), Step(self._observe(time, offset), reward, *ends, info={"time": time})

    def _observe(self, time, offset):
        shown = jnp.stack([time.astype(float), offset])
        return {"observation": shown, "action_mask": jnp.array([1, time % 2], jnp.int8)} if self.masked else shown

    def frames(self, states):
        return [np.full((1, 1, 3), int(time), np.uint8) for time, _ in states]


def draw_limit(environment, key):
    def limit(environment):
        while isinstance(environment, wrappers.AbstractWrapper):
            environment = environment.environment
        return environment.truncates_at

    return eqx.tree_at(limit, environment, jax.random.randint(key, (), 4, 50))


DISCRETE = {
    "time-limit": functools.partial(wrappers.TimeLimit, steps=2),
    "frame-stack": functools.partial(wrappers.FrameStack, count=3),
    "flatten": wrappers.FlattenObservation,
    "noise": wrappers.ObservationNoise,
    "delay": functools.partial(wrappers.ObservationDelay, steps=2),
    "sticky": wrappers.StickyAction,
    "repeat": functools.partial(wrappers.ActionRepeat, count=2),
    "clip-reward": wrappers.ClipReward,
    "transform-reward": functools.partial(wrappers.TransformReward, function=jnp.sign),
    "statistics": wrappers.EpisodeStatistics,
    "randomise": functools.partial(wrappers.DomainRandomisation, draw=draw_limit),
}
CONTINUOUS = {
    "rescale": wrappers.RescaleAction,
    "clip": wrappers.ClipAction,
    "reals": wrappers.BoxToReals,
    "discretise": functools.partial(wrappers.DiscretiseAction, bins=3),
    "sticky-box": wrappers.StickyAction,
}
ALL = [(name, wrap, "discrete") for name, wrap in DISCRETE.items()]
ALL += [(name, wrap, "box") for name, wrap in CONTINUOUS.items()]


def action_of(environment):
    return np.zeros_like(environment.spaces.action.sample())


def play(environment, actions, seed=0):
    """Returns the first observation and the steps, one by one."""
    state, observation = environment.reset(key=jax.random.key(seed))
    step = fast_jit(lambda state, action, key: environment.step(state, action, key=key))
    steps = []
    for i, action in enumerate(actions):
        state, outcome = step(state, jnp.asarray(action), jax.random.key(1000 + i))
        steps.append(outcome)
    return observation, steps


# Only what changes observations, or remembers actions, could hurt a mask.
MASKED = [(name, DISCRETE[name], "discrete", True) for name in ("frame-stack", "flatten", "noise", "delay", "sticky")]


@pytest.mark.parametrize(
    ("name", "wrap", "action", "masked"), [*((*row, False) for row in ALL), *MASKED], ids=lambda value: str(value)[:16]
)
def test_types_are_a_fixpoint_inside_the_spaces_and_traced_once(name, wrap, action, masked):
    environment = wrap(Counting(action=action, masked=masked))
    traces = []

    @fast_jit
    def step(state, action, key):
        traces.append(1)
        return jax.vmap(lambda state, action, key: environment.step(state, action, key=key))(state, action, key)

    keys = jax.random.split(jax.random.key(0), 3)
    state, observation = fast_jit(jax.vmap(lambda key: environment.reset(key=key)))(keys)
    space = environment.spaces
    actions = jnp.asarray(np.stack([action_of(environment)] * 3))
    for _ in range(3):
        after, outcome = step(state, actions, keys)
        assert avals(after) == avals(state)
        assert avals(outcome.observation) == avals(observation)
        assert not any(leaf.weak_type for leaf in jax.tree.leaves((after, outcome)))
        for lane in range(3):
            seen = jax.tree.map(lambda leaf: np.asarray(leaf[lane]), outcome.observation)  # noqa: B023
            assert space.observation.contains(seen), (space.observation, seen)
        assert outcome.reward.dtype == jnp.float32
        assert outcome.terminated.dtype == outcome.truncated.dtype == bool
        state = after
    assert len(traces) == 1


@pytest.mark.parametrize(("name", "wrap", "action"), ALL, ids=[name for name, *_ in ALL])
def test_ends_pass_through(name, wrap, action):
    if name == "randomise":  # this one draws the limit anew
        wrap = functools.partial(wrappers.DomainRandomisation, draw=lambda environment, key: environment)

    @fast_jit
    @jax.vmap
    def ends(terminates, truncates):
        environment = wrap(Counting(terminates, truncates, action=action))
        state, _ = environment.reset(key=jax.random.key(0))

        def step(state, key):
            state, outcome = environment.step(state, jnp.asarray(action_of(environment)), key=key)
            return state, (outcome.terminated, outcome.truncated)

        return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 4))[1]

    # An end, a cut, both at once; each at the fourth step of the environment inside.
    terminates, truncates = np.array([4, 100, 4]), np.array([100, 4, 4])
    terminated, truncated = ends(terminates, truncates)
    times = np.arange(1, 5) * (2 if name == "repeat" else 1)
    times = np.minimum(times, 4)  # a repeated step that began after the end means nothing
    limit = 2 if name == "time-limit" else 100
    np.testing.assert_array_equal(terminated, times >= terminates[:, None])
    np.testing.assert_array_equal(truncated, (times >= truncates[:, None]) | (times >= limit))


def test_time_limit_meets_a_termination_and_both_are_told():
    _, steps = play(wrappers.TimeLimit(Counting(terminates_at=3), 3), [0] * 3)
    assert [bool(step.truncated) for step in steps] == [False, False, True]
    assert [bool(step.terminated) for step in steps] == [False, False, True]


def test_time_limit_can_be_mapped_over():
    def last(limit):
        _, steps = play(wrappers.TimeLimit(Counting(), limit), [0, 0])
        return steps[1].truncated

    assert jax.vmap(last)(jnp.array([1, 2, 3])).tolist() == [True, True, False]


@pytest.mark.parametrize("end", ["terminates_at", "truncates_at"])
def test_repeat_adds_rewards_and_stops_inside_at_an_end(end):
    environment = wrappers.ActionRepeat(Counting(**{"terminates_at": 100, end: 3}), 2)
    state, _ = environment.reset(key=jax.random.key(0))
    state, step = environment.step(state, jnp.array(1), key=jax.random.key(1))
    assert float(step.reward) == (1 + 1) + (2 + 1)
    assert not step.terminated | step.truncated
    # The episode ends at the third step inside: the fourth is not taken, nor paid, nor seen.
    state, step = environment.step(state, jnp.array(1), key=jax.random.key(1))
    assert float(step.reward) == 3 + 1
    assert float(step.observation[0]) == 3
    assert int(state[0]) == int(step.info["time"]) == 3
    assert (bool(step.terminated), bool(step.truncated)) == (end == "terminates_at", end == "truncates_at")


def test_repeat_gives_each_step_its_own_randomness():
    class Noisy(Counting):
        def step(self, state, action, *, key):
            state, step = super().step(state, action, key=key)
            return state, dataclasses.replace(step, reward=jax.random.uniform(key))

    key = jax.random.key(3)
    environment = wrappers.ActionRepeat(Noisy(terminates_at=100), 3)
    _, step = environment.step(environment.reset(key=key)[0], jnp.array(0), key=key)
    rewards = [float(jax.random.uniform(one)) for one in jax.random.split(key, 3)]
    assert len(set(rewards)) == 3
    np.testing.assert_allclose(step.reward, sum(rewards), rtol=1e-6)


def test_statistics_tell_return_and_length_inside_and_outside():
    inside = wrappers.ClipReward(wrappers.EpisodeStatistics(Counting()), -1.0, 2.0)
    outside = wrappers.EpisodeStatistics(wrappers.ClipReward(Counting(), -1.0, 2.0))
    for environment, returns in ((inside, [1, 3, 6]), (outside, [1, 3, 5])):
        _, steps = play(environment, [0, 0, 0])
        assert [float(step.info["episode_return"]) for step in steps] == returns
        assert [int(step.info["episode_length"]) for step in steps] == [1, 2, 3]
        assert int(steps[2].info["time"]) == 3  # what was there before stays
        _, steps = play(environment, [0])
        assert float(steps[0].info["episode_return"]) == 1


def test_the_true_successor_is_shown_at_an_end_through_a_stack():
    environment = wrappers.FrameStack(wrappers.TimeLimit(Counting(), 3), 2)
    first, steps = play(environment, [0, 0, 0])
    assert first[0].tolist() == [0, 0]
    assert [step.observation[0].tolist() for step in steps] == [[0, 1], [1, 2], [2, 3]]


def test_all_stack_in_any_order_and_draw_as_what_is_inside():
    for order in (list(DISCRETE), list(DISCRETE)[::-1]):
        environment = Counting()
        for name in order:
            environment = DISCRETE[name](environment)
        state, observation = environment.reset(key=jax.random.key(0))
        state, step = environment.step(state, jnp.array(0), key=jax.random.key(1))
        assert environment.spaces.observation.contains(np.asarray(step.observation))
        assert avals(step.observation) == avals(observation)
        while isinstance(environment, wrappers.AbstractWrapper):
            frames = environment.frames([state])
            assert frames[0].max() == 2  # two steps, by the repeat
            state, environment = environment.inner(state), environment.environment


def test_a_stack_trains():
    environment = wrappers.StickyAction(wrappers.FrameStack(wrappers.TimeLimit(envs.Chain(), 5), 2))
    trainer = training.Trainer(algorithms.PPO(rollout_length=4, minibatches=2, hidden_sizes=(4,)), environment, 2)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    assert avals(jax.eval_shape(trainer.step, state)[0].shared) == avals(state.shared)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: wrappers.TimeLimit(Counting(), 0), ValueError, "steps must be at least 1"),
        (lambda: wrappers.ActionRepeat(Counting(), 0), ValueError, "count must be at least 1"),
        (lambda: wrappers.FrameStack(Counting(), 0), ValueError, "count must be at least 1"),
        (lambda: wrappers.StickyAction(Counting(), 1.5), ValueError, r"probability must be in \[0, 1\]"),
        (lambda: wrappers.ObservationNoise(Counting(), -1.0), ValueError, "scale must not be negative"),
        (lambda: wrappers.ObservationDelay(Counting(), -1), ValueError, "steps must not be negative"),
        (lambda: wrappers.TransformReward(Counting(), 2.0), TypeError, "function must map a reward"),
        (lambda: wrappers.RescaleAction(Counting()), TypeError, "must be a Box of floating point; got Discrete"),
        (lambda: wrappers.BoxToReals(wrappers.ClipAction(Counting(action="box"))), ValueError, "finite bounds"),
        (lambda: wrappers.RescaleAction(Counting(action="box"), 1.0, 1.0), ValueError, "low must be below high"),
        (lambda: wrappers.DiscretiseAction(Counting(action="box"), (2, 3, 4)), ValueError, "each of 2 dimensions"),
        (lambda: wrappers.DiscretiseAction(Counting(action="box"), 0), ValueError, "above 0"),
    ],
)
def test_bad_settings_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
