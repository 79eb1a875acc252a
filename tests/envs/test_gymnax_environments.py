"""Every environment that gymnax registers keeps the protocol, each in its own test."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import envs
from bellmax._core import example
from training.laws import avals, fast_jit

NAMES = [name for name in gymnax.registered_envs if "MNIST" not in name]
COMPILED = (
    "CartPole-v1",
    "Pendulum-v1",
    "MountainCar-v0",
    "Catch-bsuite",
    "DiscountingChain-bsuite",
    "FrozenLake-misc",
)


@pytest.fixture(scope="module")
def environments():
    made = {}
    return lambda name: made.setdefault(name, envs.make(name))


def abstract_key():
    return jax.eval_shape(lambda: jax.random.key(0))


@pytest.mark.parametrize("name", NAMES)
def test_types_are_a_fixpoint_and_fit_the_spaces(environments, name):
    environment = environments(name)
    spaces = environment.spaces
    state, observation = jax.eval_shape(lambda key: environment.reset(key=key), abstract_key())
    action = jax.eval_shape(lambda: example(spaces.action))
    after, step = jax.eval_shape(lambda *args: environment.step(*args[:2], key=args[2]), state, action, abstract_key())
    assert avals(after) == avals(state)
    assert avals(step.observation) == avals(observation)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((state, observation)))
    assert observation.shape == spaces.observation.shape
    assert observation.dtype == jax.dtypes.canonicalize_dtype(spaces.observation.dtype)
    assert (step.reward.shape, step.reward.dtype) == ((), jnp.float32)
    for end in (step.terminated, step.truncated):
        assert (end.shape, end.dtype) == ((), jnp.bool_)


@pytest.mark.parametrize(
    "name", [name if name in COMPILED else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_four_steps_are_one_compilation(environments, name):
    environment = environments(name)
    traces = []

    def step(state, action, key):
        traces.append(1)
        return environment.step(state, action, key=key)

    state, observation = fast_jit(lambda key: environment.reset(key=key))(jax.random.key(0))
    space, step = environment.spaces.observation, fast_jit(step)
    environment.spaces.action.seed(0)
    for time in range(4):
        action = jnp.asarray(environment.spaces.action.sample(), example(environment.spaces.action).dtype)
        state, outcome = step(state, action, jax.random.key(time))
        assert np.isfinite(outcome.reward)
        assert outcome.observation.dtype == observation.dtype
        assert outcome.observation.shape == space.shape
    assert len(traces) == 1


@pytest.mark.parametrize(("name", "limit", "action"), [("CartPole-v1", 500, 0), ("Pendulum-v1", 200, [0.0])])
def test_time_limit_is_a_truncation(environments, name, limit, action):
    environment = environments(name)

    def step(state, _):
        # The pole is put back upright at every step, so that nothing but the clock can end the episode.
        if name == "CartPole-v1":
            zero = jnp.zeros(())
            state = state.replace(x=zero, x_dot=zero, theta=zero, theta_dot=zero)
        state, outcome = environment.step(state, jnp.asarray(action), key=jax.random.key(0))
        return state, (outcome.terminated, outcome.truncated)

    state, _ = environment.reset(key=jax.random.key(0))
    _, (terminated, truncated) = fast_jit(lambda state: jax.lax.scan(step, state, length=limit))(state)
    np.testing.assert_array_equal(truncated, np.arange(1, limit + 1) == limit)
    assert not np.any(terminated)


def test_fallen_pole_is_a_termination(environments):
    environment = environments("CartPole-v1")
    state, _ = environment.reset(key=jax.random.key(0))
    _, outcome = environment.step(state.replace(theta=jnp.array(1.0)), jnp.array(0), key=jax.random.key(0))
    assert bool(outcome.terminated)
    assert not bool(outcome.truncated)


def test_settings_reach_gymnax():
    assert envs.make("DeepSea-bsuite", size=5).spaces.observation.shape == (5, 5)


def test_environment_can_be_made_under_a_trace():
    def step(key):
        environment = envs.make("CartPole-v1")
        state, _ = environment.reset(key=key)
        return environment.step(state, jnp.array(0), key=key)[1].observation

    assert jax.eval_shape(step, abstract_key()).shape == (4,)
