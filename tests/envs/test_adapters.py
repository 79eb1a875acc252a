"""Adapters of other packages: the chain of known answers through each, and what is refused."""

import functools
from typing import NamedTuple

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chains import PACKAGES, GymnasiumChain, bellmax_chain, gymnax_chain
from gymnax.environments import environment as gymnax_environment
from gymnax.environments import spaces as gymnax_spaces

from bellmax import envs
from bellmax._core import example
from bellmax.envs._adapter import raw_key
from training.laws import avals, fast_jit

LANES, STEPS, LIMIT = 16, 6, 5


@functools.cache
def chain_of(package):
    pytest.importorskip(package)
    return bellmax_chain(package, 3, LIMIT, 2.0, 0.25)


@functools.cache
def played(package):
    """Returns the first observations, random actions and the steps of many lanes, and how often a step was traced."""
    chain, traces = chain_of(package), []

    def step(state, action, key):
        traces.append(1)
        return chain.step(state, action, key=key)

    keys = jax.random.split(jax.random.key(0), LANES)
    state, first = fast_jit(jax.vmap(lambda key: chain.reset(key=key)))(keys)
    # Half of the lanes mostly stay, so that the limit comes first in some of them and the goal in others.
    rate = jnp.repeat(jnp.array([0.15, 0.6]), LANES // 2)
    actions = jax.random.bernoulli(jax.random.key(1), rate, (STEPS, LANES)).astype(jnp.int32)
    step, steps = fast_jit(jax.vmap(step)), []
    for time in range(STEPS):
        state, outcome = step(state, actions[time], jax.random.split(jax.random.key(time), LANES))
        steps.append(outcome)
    return np.asarray(first), np.asarray(actions), steps, len(traces)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_plays_the_same_chain(package):
    first, actions, steps, _ = played(package)
    kinds = set()
    for lane in range(LANES):
        oracle = GymnasiumChain(3, LIMIT, 2.0, 0.25)
        oracle.reset(options={"position": int(first[lane].argmax())})
        for time in range(STEPS):
            observation, reward, terminated, truncated, _ = oracle.step(actions[time, lane])
            # jumanji's time step says one kind of end only; being terminal is the one that counts.
            truncated = truncated and not (package == "jumanji" and terminated)
            np.testing.assert_array_equal(steps[time].observation[lane], observation)
            assert steps[time].reward[lane] == reward
            assert bool(steps[time].terminated[lane]) == terminated
            assert bool(steps[time].truncated[lane]) == truncated
            if terminated or truncated:
                kinds.add((terminated, truncated, time + 1 == LIMIT))
                break
    assert {(True, False, False), (False, True, True)} <= kinds
    assert all(at_limit for _, truncated, at_limit in kinds if truncated)


@pytest.mark.parametrize("package", PACKAGES)
def test_both_ends_may_come_at_once(package):
    chain = bellmax_chain(package, 2, 1) if chain_of(package) else None
    seen = set()
    for seed in range(8):
        state, observation = chain.reset(key=jax.random.key(seed))
        _, step = chain.step(state, jnp.array(1), key=jax.random.key(0))
        seen.add((int(observation.argmax()), bool(step.terminated), bool(step.truncated)))
    assert seen == {(0, False, True), (1, True, package != "jumanji")}


@pytest.mark.parametrize("package", PACKAGES)
def test_vmapped_steps_are_traced_once(package):
    assert played(package)[3] == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_resets_differ(package):
    assert len({int(position) for position in played(package)[0].argmax(-1)}) == 3


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_a_fixpoint(package):
    chain = chain_of(package)
    state, observation = chain.reset(key=jax.random.key(0))
    after, step = chain.step(state, jnp.array(0), key=jax.random.key(0))
    assert avals(after) == avals(state)
    assert avals(step.observation) == avals(observation) == avals(example(chain.spaces.observation))
    assert (step.reward.dtype, step.terminated.dtype, step.truncated.dtype) == (jnp.float32, bool, bool)


def test_default_parameters_of_gymnax():
    chain, _ = gymnax_chain()
    assert envs.GymnaxEnvironment.of(chain).parameters.max_steps_in_episode == 10


class State(NamedTuple):
    time: jax.Array
    grown: jax.Array


class Liar(gymnax_environment.Environment):
    """Shows, pays or carries what does not fit."""

    def __init__(self, *, shape=(3,), reward=0.0, carried=()):
        super().__init__()
        self.shape, self.reward, self.carried = shape, reward, carried

    default_params = property(lambda self: gymnax_environment.EnvParams())

    def reset_env(self, key, params):
        return jnp.zeros(3), State(jnp.array(0), jnp.zeros(()))

    def step_env(self, key, state, action, params):
        return jnp.zeros(3), State(state.time + 1, self.carried), jnp.array(self.reward), jnp.array(False), {}

    def observation_space(self, params):
        return gymnax_spaces.Box(0, 1, self.shape)

    def action_space(self, params):
        return gymnax_spaces.Discrete(2)


@pytest.mark.parametrize(
    ("liar", "message"),
    [
        (Liar(shape=(4,)), r"shapes \(4,\), but reset shows \(3,\)"),
        (Liar(carried=jnp.zeros(())), None),
        (Liar(carried=(jnp.zeros(()),)), "structure differs"),
        (Liar(carried=jnp.zeros(2)), r"shape \(\) at reset and \(2,\) at step"),
        (Liar(carried=jnp.zeros(()), reward=[1.0, 2.0]), r"reward of one step has shape \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused(liar, message):
    if message is None:
        assert envs.GymnaxEnvironment.of(liar).spaces.action.n == 2
        return
    with pytest.raises(TypeError, match=message):
        envs.GymnaxEnvironment.of(liar)


def test_raw_keys_come_from_keys_of_any_kind():
    words = [raw_key(jax.random.key(seed, impl=impl)) for seed in (0, 1) for impl in ("threefry2x32", "rbg")]
    assert len({tuple(np.asarray(each).tolist()) for each in words}) == 4
    assert all(jax.random.split(each).shape == (2, 2) for each in words)


def draw(name, count=2):
    environment = envs.make(name)
    state, _ = environment.reset(key=jax.random.key(0))
    states = [state]
    for _ in range(count - 1):
        state, _ = environment.step(state, example(environment.spaces.action), key=jax.random.key(0))
        states.append(state)
    return environment.frames(states)


@pytest.mark.parametrize("name", ["Catch-bsuite", pytest.param("Breakout-MinAtar", marks=pytest.mark.slow)])
def test_pictures_of_gymnax(name):
    one, other = draw(name)
    assert one.shape == other.shape == (*one.shape[:2], 3)
    assert one.dtype == np.uint8
    assert (one != other).any()


def test_pictures_of_classic_control():
    pytest.importorskip("pygame")
    one, other = draw("MountainCar-v0", 9)[::8]
    assert one.shape == other.shape == (400, 600, 3)
    assert (one != other).any()


def test_pictures_without_pygame_name_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pygame", None)
    with pytest.raises(RuntimeError, match=r"bellmax\[viz\]"):
        draw("CartPole-v1")


@pytest.mark.parametrize("name", ["DeepSea-bsuite", "toy/chain"])
def test_what_cannot_be_drawn_says_so(name):
    with pytest.raises(TypeError, match="cannot be drawn as pictures"):
        draw(name)
    with pytest.raises(TypeError, match="cannot be drawn as a page"):
        envs.make(name).html([])


def test_gymnax_keeps_its_parameters_as_leaves():
    environment = envs.make("CartPole-v1")
    assert set(map(type, jax.tree.leaves(environment))) <= {float, int, jax.Array}
    assert len(jax.tree.leaves(environment)) == len(jax.tree.leaves(gymnax.make("CartPole-v1")[1]))
