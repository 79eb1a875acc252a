"""What is hidden is zero, always, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import envs
from bellmax.envs import wrappers
from bellmax.envs._no_velocity import NO_VELOCITY
from training.laws import fast_jit


def test_only_what_is_named_is_hidden():
    plain = envs.make("CartPole-v1")
    hiding = wrappers.HideObservation(plain, (1, 3))

    @fast_jit
    def play(key):
        state, first = hiding.reset(key=key)
        _, step = hiding.step(state, jnp.array(1), key=key)
        inner, _ = plain.step(state.inner, jnp.array(1), key=jax.random.split(key)[0])
        return state.inner, first, step, inner, plain.step(state.inner, jnp.array(1), key=key)[1]

    state, first, step, _, wanted = play(jax.random.key(0))
    shown = np.array([1, 0, 1, 0])
    np.testing.assert_array_equal(first, shown * np.array([state.x, state.x_dot, state.theta, state.theta_dot]))
    np.testing.assert_array_equal(step.observation, shown * np.asarray(wanted.observation))
    assert (np.asarray(wanted.observation) != 0).all()
    assert step.reward == wanted.reward
    assert step.terminated == wanted.terminated
    space = hiding.spaces.observation
    assert space.contains(np.asarray(first))
    np.testing.assert_array_equal(space.high == 0, shown == 0)
    np.testing.assert_array_equal(space.low == 0, shown == 0)
    assert hiding.spaces.action == plain.spaces.action


@pytest.mark.parametrize("name", NO_VELOCITY)
def test_names_without_velocities_are_made(name):
    hiding = envs.make(name)
    plain, hidden = NO_VELOCITY[name]
    assert name in envs.names()
    observation = jax.eval_shape(lambda key: hiding.reset(key=key)[1], jax.random.key(0))
    assert observation.shape == envs.make(plain).spaces.observation.shape
    assert hiding.hidden == hidden


@pytest.mark.parametrize("hidden", [(4,), (-1,), (0, 0)])
def test_places_that_are_not_there_are_refused(hidden):
    with pytest.raises(ValueError, match="hidden must name places from 0 to 3, each once"):
        _ = wrappers.HideObservation(envs.make("CartPole-v1"), hidden).spaces


def test_other_spaces_are_refused():
    with pytest.raises(TypeError, match="must be a Box with one axis; got Discrete"):
        wrappers.HideObservation(envs.Chain(), ()).observation_space(kinds.Discrete(3))
