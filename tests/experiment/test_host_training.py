"""Training on environments that are not JAX: the same numbers as compiled, and no step that never was."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from bellmax import algorithms, envs, training
from bellmax._core import Feedback, Spaces
from bellmax.algorithms import AbstractAlgorithm, OnPolicy
from bellmax.envs import GymnasiumEnvironment, GymnasiumVectorEnv
from bellmax.experiment._host_evaluate import evaluate_on_host
from bellmax.experiment._host_loop import HostLoop
from bellmax.experiment._host_trainer import HostTrainer

SPACES = Spaces(gymnasium.spaces.Box(0, 1, (2,), np.float32), gymnasium.spaces.Discrete(2))


class Steps(envs.AbstractEnvironment):
    """Nothing is random: action 1 goes up, ends at 3 and pays 1; action 0 pays a half; truncated after 5 steps."""

    @property
    def spaces(self):
        return SPACES

    def reset(self, *, key):
        del key
        return jnp.zeros(2), jnp.zeros(2)

    def step(self, state, action, *, key):
        del key
        state = state + jnp.array([1.0, 0.0]) * action / 3 + jnp.array([0.0, 0.2])
        terminated = state[0] > 0.99
        reward = jnp.where(action == 0, 0.5, terminated.astype(float))
        return state, envs.Step(state, reward, terminated, state[1] > 0.99)


class GymnasiumSteps(gymnasium.Env):
    """The same."""

    observation_space, action_space = SPACES

    def reset(self, *, seed=None, options=None):
        self.state = np.zeros(2, np.float32)
        return self.state.copy(), {}

    def step(self, action):
        self.state[0] += np.float32(action) / np.float32(3)
        self.state[1] += np.float32(0.2)
        terminated = bool(self.state[0] > 0.99)
        reward = 0.5 if action == 0 else float(terminated)
        return self.state.copy(), reward, terminated, bool(self.state[1] > 0.99), {}


def vector(mode, lanes=4):
    return GymnasiumVectorEnv(SyncVectorEnv([GymnasiumSteps] * lanes, autoreset_mode=mode))


PPO = algorithms.PPO(
    rollout_length=8, minibatches=2, epochs=2, hidden_sizes=(8,), learning_rate=1e-2, normalise_rewards=True
)
DQN = algorithms.DQN(
    rollout_length=2, batch_size=8, capacity=64, warm_up=16, hidden_sizes=(8,), epsilon=0.5, target_period=3
)


def close(one, other):
    one, other = (jax.tree.leaves(eqx.filter(each, eqx.is_array)) for each in (one, other))
    return all(np.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


def compiled(name, calls):
    trainer = training.Trainer({"ppo": PPO, "dqn": DQN}[name], Steps(), 4)
    return jax.jit(lambda state: training.train_chunk(trainer, state, calls))(trainer.init(jax.random.key(3)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", pytest.param("dqn", marks=pytest.mark.slow)])
def test_same_numbers_as_compiled(name):
    # Environments without randomness: then keys, actions, transitions, replay and updates must agree.
    calls = 10
    expected, metrics = compiled(name, calls)
    trainer = HostTrainer({"ppo": PPO, "dqn": DQN}[name], GymnasiumEnvironment.of(GymnasiumSteps), 4)
    with HostLoop(trainer, jax.random.key(3)) as loop:
        for _ in range(calls):
            loop.step()
        state, found = loop.state, loop.take_metrics()
    assert int(state.shared.steps) == int(expected.shared.steps) == calls * trainer.steps_per_call
    assert close(state.shared.algorithm, expected.shared.algorithm)
    assert close(state.local.kept, expected.local.kept)
    assert set(found) == set(metrics)
    for key, value in metrics.items():
        np.testing.assert_allclose(found[key].value, value.value, rtol=1e-3, atol=1e-5, err_msg=key)
        np.testing.assert_allclose(found[key].weight, value.weight, err_msg=key)


class Diary(AbstractAlgorithm[Any]):
    """Acts at random, remembers how many steps ago its episode began, and keeps what it learns from."""

    length: int = eqx.field(static=True, default=6)

    @property
    def requirements(self):
        return OnPolicy(self.length)

    def init(self, spaces, *, key):
        transition = jnp.zeros((self.length, 4))
        pair = jnp.zeros((self.length, 4, 2))
        return {"age": transition, "memory": jnp.zeros(4), "seen": pair, "next": pair, "step": transition} | {
            "ended": jnp.zeros((self.length, 4), bool)
        }

    def init_memory(self, spaces):
        return jnp.zeros(())

    def act(self, state, observation, memory, *, step, key, explore=True):
        return jax.random.bernoulli(key, 0.4).astype(jnp.int32), {"age": memory, "step": step}, memory + 1

    def update(self, state, batch, *, step, key, axis_name=None):
        t = batch.transition
        state = {
            "age": t.extras["age"],
            "memory": batch.memory,
            "seen": t.observation,
            "next": t.next_observation,
            "step": t.extras["step"],
            "ended": t.terminated | t.truncated,
        }
        return state, {"reward": t.reward.sum()}, Feedback()


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)
def test_rollouts_hold_no_step_that_never_was_and_memory_begins_with_the_episode(mode):
    lanes, last, ended = vector(mode), np.zeros(4), np.ones(4, bool)
    with HostLoop(HostTrainer(Diary(), lanes, 4), jax.random.key(1)) as loop:
        for call in range(10):
            loop.step()
            page = jax.device_get(loop.state.shared.algorithm)
            # The second number counts the steps of the episode: every transition adds one, and the memory knows it.
            time = np.rint(page["seen"][..., 1] * 5)
            np.testing.assert_array_equal(np.rint(page["next"][..., 1] * 5), time + 1)
            np.testing.assert_array_equal(page["age"], time)
            np.testing.assert_array_equal(page["memory"], page["age"][0])
            # Inside a rollout a lane's transitions follow each other, or an episode begins.
            assert np.all((time[1:] == time[:-1] + 1) | (time[1:] == 0))
            # So it does from one rollout to the next, or the last transition says that it does not.
            assert np.all((time[0] == last + 1) | ended)
            last, ended = time[-1], page["ended"][-1]
            assert int(loop.state.shared.steps) == 24 * (call + 1)
            if mode is not AutoresetMode.NEXT_STEP:
                np.testing.assert_array_equal(page["step"][:, 0], 24 * call + 4 * np.arange(6))
        metrics = loop.take_metrics()
        assert float(loop.take_metrics()["episode_return"].weight) == 0
    # An episode lasts 3 to 5 steps.
    assert 3 <= metrics["episode_length"].value <= 5
    assert 0.5 <= metrics["episode_return"].value <= 2.5
    lanes.reset(seed=0)  # not closed: it is the user's


class Wide(GymnasiumSteps):
    """Ends at once and pays its action, which must lie in [-1, 1]."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action):
        assert self.action_space.contains(action)
        return self.state, float(action[0]), True, False, {}


class Far(Diary):
    """Acts far outside."""

    def act(self, state, observation, memory, *, step, key, explore=True):
        return jnp.full(1, 7.0), {"age": memory, "step": step}, memory

    def update(self, state, batch, *, step, key, axis_name=None):
        state, _, feedback = Diary.update(self, state, batch, step=step, key=key)
        return state, {"action": batch.transition.action.mean(), "reward": batch.transition.reward.mean()}, feedback


def test_action_is_clipped_for_the_environment_and_kept_as_sampled():
    with HostLoop(HostTrainer(Far(), GymnasiumEnvironment.of(Wide), 4), jax.random.key(0)) as loop:
        loop.step()
        metrics = loop.take_metrics()
    assert (float(metrics["action"].value), float(metrics["reward"].value)) == (7.0, 1.0)


class Uneven(gymnasium.Env):
    """An episode lasts as many steps as its first observation says, and pays that."""

    observation_space = gymnasium.spaces.Box(0, 50, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length, self.time = int(self.np_random.choice([1, 9])), 0
        return np.full(1, self.length, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.zeros(1, np.float32), self.length / self.length, self.time >= self.length, False, {}


def evaluated(environment, episodes, lanes=4, **kwargs):
    algorithm = algorithms.PPO(hidden_sizes=())
    trainer = HostTrainer(algorithm, environment, lanes)
    state = jax.vmap(lambda key: algorithm.init(environment.spaces, key=key))(jax.random.split(jax.random.key(0), 2))
    keys = jax.random.split(jax.random.key(1), 2)
    return evaluate_on_host(trainer, state, step=jnp.zeros(()), keys=keys, episodes=episodes, **kwargs)


@pytest.mark.slow
def test_short_episodes_do_not_count_more_in_evaluation():
    played = evaluated(GymnasiumEnvironment.of(Uneven), 202)
    assert played.episode_return.shape == (2, 202)
    assert played.finished.all()
    np.testing.assert_array_equal(played.episode_return, played.episode_length)
    # Half the episodes are long; who counts whatever ends first sees a tenth of them in the beginning.
    assert 0.4 < np.mean(np.asarray(played.episode_length) == 9) < 0.6
    assert set(np.unique(played.episode_length)) == {1, 9}
    assert not np.array_equal(played.episode_length[0], played.episode_length[1])


def test_endless_episodes_are_cut():
    played = evaluated(GymnasiumEnvironment.of(Uneven), 6, max_steps=3)
    assert set(zip(np.ravel(played.episode_length), np.ravel(played.finished), strict=True)) == {(1, True), (3, False)}


def test_what_does_not_fit_is_said_at_once():
    with pytest.raises(ValueError, match="num_envs is 3, but the environment has 4 lanes"):
        HostTrainer(PPO, vector(AutoresetMode.DISABLED), 3)
    with pytest.raises(ValueError, match=r"workers must be in \[0, num_envs 4\]; got 5"):
        HostTrainer(PPO, GymnasiumEnvironment.of(GymnasiumSteps), 4, workers=5)
    with pytest.raises(ValueError, match="workers must be 0"):
        HostTrainer(PPO, vector(AutoresetMode.DISABLED), 4, workers=2)


@pytest.mark.slow
def test_state_outlives_the_next_step():
    trainer = HostTrainer(algorithms.PPO(rollout_length=4, minibatches=1), vector("SameStep", 2), 2)
    with HostLoop(trainer, jax.random.key(0)) as loop:
        state = loop.state
        loop.step()
        assert int(state.shared.steps) == 0
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array)))
        assert int(loop.state.shared.steps) == 8


def test_compiled_environments_belong_to_the_other_trainer():
    with pytest.raises(TypeError, match=r"use training\.Trainer"):
        HostTrainer(algorithms.PPO(), envs.make("toy/chain"), 2)
