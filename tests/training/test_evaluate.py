"""Evaluation: exactly one episode each, the same with the same key, and no trace left in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import algorithms, envs, training
from training import laws


def play(algorithm, environment, key=0, state=None, **settings):
    run = laws.fast_jit(
        lambda key: training.evaluate(algorithm, environment, state, step=jnp.zeros(()), key=key, **settings)
    )
    return run(jax.random.key(key))


def test_every_environment_plays_one_episode():
    laws.law_evaluation_plays_one_episode_each(laws.REAL)


def test_explores_only_on_request():
    laws.law_evaluation_explores_only_on_request(laws.REAL)


@pytest.mark.parametrize("arm", [0, 1, 2])
def test_bandit_by_hand(arm):
    episodes = play(laws.Forward(arm), envs.Bandit((0.25, -1.0, 3.0)), episodes=3)
    np.testing.assert_array_equal(episodes.episode_return, [(0.25, -1.0, 3.0)[arm]] * 3)
    np.testing.assert_array_equal(episodes.episode_length, [1, 1, 1])


def test_staying_in_the_chain_lasts_until_the_limit():
    episodes = play(laws.Forward(0), envs.Chain(time_limit=6, stay_reward=0.5), episodes=4)
    np.testing.assert_array_equal(episodes.episode_return, [3.0] * 4)
    np.testing.assert_array_equal(episodes.episode_length, [6] * 4)
    assert bool(episodes.finished.all())


def test_going_forward_lasts_as_long_as_the_way():
    chain = envs.Chain(length=5)
    episodes = play(laws.Forward(1), chain, episodes=64)
    np.testing.assert_array_equal(episodes.episode_return, np.ones(64))
    assert set(np.asarray(episodes.episode_length)) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("limit", [1, 4])
def test_episodes_are_cut_at_max_steps_and_say_so(limit):
    episodes = play(laws.Forward(0), envs.Chain(time_limit=5, stay_reward=1.0), episodes=3, max_steps=limit)
    np.testing.assert_array_equal(episodes.episode_length, [limit] * 3)
    np.testing.assert_array_equal(episodes.episode_return, [float(limit)] * 3)
    assert not bool(episodes.finished.any())


def test_a_limit_that_is_just_enough_is_enough():
    episodes = play(laws.Forward(0), envs.Chain(time_limit=5), episodes=3, max_steps=5)
    assert bool(episodes.finished.all())


class Counting(laws.Forward):
    """Goes forward once it remembers `memory` steps of this episode."""

    def init_memory(self, spaces):
        return jnp.zeros((), jnp.int32)

    def act(self, state, observation, memory, *, step, key, explore=True):
        return (memory >= 3).astype(jnp.int32), None, memory + 1


def test_memory_is_carried_through_an_episode():
    episodes = play(Counting(), envs.Chain(length=1, stay_reward=0.25), episodes=4)
    # Three times it stays for a quarter, then it takes the one step to the goal.
    np.testing.assert_array_equal(episodes.episode_return, [1.75] * 4)


@pytest.fixture(scope="module")
def noisy():
    """DQN that explores always, so that its episodes depend on the key."""
    algorithm, chain = laws.small_dqn(epsilon=1.0), envs.Chain()
    state = laws.fast_jit(lambda key: algorithm.init(chain.spaces, key=key))(jax.random.key(0))
    run = laws.fast_jit(
        lambda state, key: training.evaluate(
            algorithm, chain, state, step=jnp.zeros(()), key=key, episodes=32, explore=True
        )
    )
    return state, run


def test_same_key_same_figures(noisy):
    state, run = noisy
    laws.assert_equal(run(state, jax.random.key(1)), run(state, jax.random.key(1)))
    lengths = [np.asarray(run(state, jax.random.key(seed)).episode_length) for seed in (1, 2)]
    assert (lengths[0] != lengths[1]).any()


def test_episodes_are_independent(noisy):
    state, run = noisy
    assert len(np.unique(run(state, jax.random.key(1)).episode_length)) > 3


def test_more_episodes_do_not_change_the_first():
    few, many = (play(laws.Forward(1), envs.Chain(length=6), episodes=count) for count in (4, 9))
    np.testing.assert_array_equal(few.episode_length, many.episode_length[:4])


def test_schedules_read_the_step():
    algorithm = laws.small_dqn(epsilon=lambda step: jnp.where(step < 100, 1.0, 0.0))
    bandit = envs.Bandit((0.0, 1.0))
    # The only observation is 1: the network's bias and weight make arm 1 the better one.
    algorithm = algorithms.DQN(
        epsilon=algorithm.epsilon, network=lambda spaces, key: laws.Table(jnp.array([[0.0, 1.0]]))
    )
    state = algorithm.init(bandit.spaces, key=jax.random.key(0))
    run = laws.fast_jit(
        lambda step: training.evaluate(
            algorithm, bandit, state, step=step, key=jax.random.key(0), episodes=64, explore=True
        ).episode_return.mean()
    )
    assert 0.2 < float(run(jnp.array(0.0))) < 0.8
    assert float(run(jnp.array(100.0))) == 1


def test_evaluation_maps_over_seeds():
    algorithm, chain = laws.small_dqn(), envs.Chain()
    keys = jax.random.split(jax.random.key(0), 2)
    states = laws.fast_jit(jax.vmap(lambda key: algorithm.init(chain.spaces, key=key)))(keys)

    def run(state):
        return training.evaluate(algorithm, chain, state, step=jnp.zeros(()), key=jax.random.key(1), episodes=3)

    together = laws.fast_jit(jax.vmap(run))(states)
    assert together.episode_return.shape == (2, 3)
    alone = laws.fast_jit(run)
    for seed in range(2):
        one = alone(jax.tree.map(lambda leaf, seed=seed: leaf[seed], states))
        laws.assert_equal(one, jax.tree.map(lambda leaf, seed=seed: leaf[seed], together))
