"""Two more algorithms fit the contract as it stands, and learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import algorithms, envs, training
from bellmax.algorithms import Batch, OffPolicy, Transition
from sketches import SAC, RecurrentPPO
from training.laws import REAL, assert_equal, avals, fast_jit, largest_difference

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pendulum():
    return envs.make("Pendulum-v1")


def pendulum_batch(sac, environment, size=64):
    """Makes transitions out of random states and actions."""

    def one(key):
        keys = jax.random.split(key, 3)
        state, observation = environment.reset(key=keys[0])
        action = jax.random.uniform(keys[1], (1,), minval=-2, maxval=2)
        _, step = environment.step(state, action, key=keys[2])
        return Transition(observation, action, step.reward, step.observation, step.terminated, step.truncated)

    return Batch(fast_jit(jax.vmap(one))(jax.random.split(jax.random.key(7), size)))


def start(algorithm, environment):
    return fast_jit(lambda key: algorithm.init(environment.spaces, key=key))(jax.random.key(0))


def test_soft_actor_critic_fits_the_contract(pendulum):
    sac = SAC(requirements_=OffPolicy(2, 1, 8, 64, 8), hidden_sizes=(8,))
    trainer = training.Trainer(sac, pendulum, num_envs=4)
    state, step = fast_jit(trainer.init)(jax.random.key(0)), fast_jit(trainer.step, donate_argnums=0)
    before = avals(state)
    for _ in range(4):
        state, metrics = step(state)
        assert avals(state) == before
    assert float(metrics["critic_loss"].weight) == 1
    assert np.isfinite(metrics["critic_loss"].value)
    assert float(metrics["skipped"].value) == 0


def test_soft_actor_critic_loss_falls_on_a_fixed_batch(pendulum):
    # With γ = 0 the critics' task is plain regression onto the reward.
    sac = SAC(learning_rate=3e-3, discount=0.0, hidden_sizes=(32,))
    state = start(sac, pendulum)
    batch = pendulum_batch(sac, pendulum)

    def update(state, key):
        state, metrics, _ = sac.update(state, batch, step=jnp.zeros(()), key=key)
        return state, metrics["critic_loss"]

    _, losses = fast_jit(lambda state, keys: jax.lax.scan(update, state, keys))(
        state, jax.random.split(jax.random.key(1), 200)
    )
    losses = np.asarray(losses).reshape(10, 20).mean(axis=1)
    assert np.isfinite(losses).all()
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_soft_actor_critic_does_not_depend_on_devices(pendulum):
    # The noise of an example comes from its index among the examples of all devices.
    sac = SAC(hidden_sizes=(8,))
    state = start(sac, pendulum)
    batch = pendulum_batch(sac, pendulum, 8)

    def update(batch, axis_name=None):
        state_, _, _ = sac.update(state, batch, step=jnp.zeros(()), key=jax.random.key(2), axis_name=axis_name)
        return state_.actor, state_.critics

    whole = fast_jit(update)(batch)
    halves = jax.tree.map(lambda leaf: leaf.reshape(2, 4, *leaf.shape[1:]), batch)
    spread = fast_jit(jax.vmap(lambda batch: update(batch, "devices"), out_axes=None, axis_name="devices"))(halves)
    assert largest_difference(whole, spread) < 1e-6


def test_squashed_action_is_inside_and_its_log_prob_is_a_density(pendulum):
    sac = SAC(hidden_sizes=(8,))
    state = start(sac, pendulum)
    observation = jnp.array([1.0, 0.0, 0.5])
    keys = jax.random.split(jax.random.key(0), 20_000)
    action, log_prob = jax.jit(jax.vmap(lambda key: sac._sample(state, state.actor, observation, key, True)))(keys)
    assert float(jnp.abs(action).max()) <= 2
    # E[1/π(a)] over a ~ π is the width of the interval, 4, wherever the density is right.
    np.testing.assert_allclose(float(jnp.mean(jnp.exp(-log_prob))), 4.0, rtol=0.05)


def test_recurrent_sketch_solves_recall():
    environment = envs.Recall()
    trainer = training.Trainer(RecurrentPPO(), environment, num_envs=16)
    state = fast_jit(trainer.init)(jax.random.key(0))
    chunk = fast_jit(lambda state, calls: training.train_chunk(trainer, state, calls), donate_argnums=0)
    state, _ = chunk(state, 60)
    assert mean_return(trainer.algorithm, environment, state) > 0.9


def test_memory_is_what_solves_recall():
    # The same task without memory: the best is to guess one of two cues.
    environment = envs.Recall()
    ppo = algorithms.PPO(rollout_length=16, hidden_sizes=(8,), epochs=1, minibatches=1)
    trainer = training.Trainer(ppo, environment, num_envs=16)
    state = fast_jit(trainer.init)(jax.random.key(0))
    # Five standard errors of a proportion over 512 episodes.
    assert mean_return(ppo, environment, state) < 0.5 + 5 * np.sqrt(0.25 / 512)


def mean_return(algorithm, environment, state):
    episodes = fast_jit(
        lambda state: training.evaluate(
            algorithm, environment, state, step=jnp.zeros(()), key=jax.random.key(5), episodes=512
        )
    )(state.shared.algorithm)
    assert bool(episodes.finished.all())
    return float(episodes.episode_return.mean())


def test_recurrent_replay_of_a_rollout_sees_what_acting_saw():
    # Rollouts of 6 steps cut episodes of 4 in their middle: memory crosses the border, and forgets at every end.
    algorithm, environment = RecurrentPPO(rollout_length=6, memory_size=4), envs.Recall()
    spy = Spy(algorithm)
    trainer = REAL.Trainer(spy, environment, 3)
    state, step = fast_jit(trainer.init)(jax.random.key(0)), fast_jit(trainer.step)
    for _ in range(3):
        acted_with, state = state.shared.algorithm["inner"], step(state)[0]
        seen = state.shared.algorithm["batch"]
        replayed, *_ = jax.vmap(algorithm.unroll, (None, 1, 0), 1)(acted_with.model, seen.transition, seen.memory)
        np.testing.assert_allclose(replayed.logits, seen.transition.extras, atol=1e-6)


class Spy(algorithms.AbstractAlgorithm):
    """Keeps the last batch, with the logits that acting saw."""

    algorithm: RecurrentPPO

    @property
    def requirements(self):
        return self.algorithm.requirements

    def init(self, spaces, *, key):
        inner = self.algorithm.init(spaces, key=key)
        shape = (self.algorithm.rollout_length, 3)
        observation = jnp.zeros((*shape, *spaces.observation.shape))
        no, zeros = jnp.zeros(shape, bool), jnp.zeros(shape)
        logits = jnp.zeros((*shape, int(spaces.action.n)))
        transition = Transition(observation, no.astype(jnp.int32), zeros, observation, no, no, logits)
        return {"inner": inner, "batch": Batch(transition, jnp.zeros((3, self.algorithm.memory_size)))}

    def init_memory(self, spaces):
        return self.algorithm.init_memory(spaces)

    def act(self, state, observation, memory, *, step, key, explore=True):
        model = state["inner"].model
        action, _, after = self.algorithm.act(state["inner"], observation, memory, step=step, key=key, explore=explore)
        return action, model.heads(model.cell(observation, memory))[0].logits, after

    def update(self, state, batch, *, step, key, axis_name=None):
        inner, metrics, feedback = self.algorithm.update(state["inner"], batch, step=step, key=key, axis_name=axis_name)
        return {"inner": inner, "batch": batch}, metrics, feedback


def test_gradient_does_not_cross_an_episode_end():
    algorithm, environment = RecurrentPPO(memory_size=4), envs.Recall()
    model = start(algorithm, environment).model
    draw = np.random.default_rng(0)
    observation = jnp.asarray(draw.normal(size=(6, 3)), jnp.float32)
    ended = jnp.arange(6) == 2
    zeros = jnp.zeros(6)
    transition = Transition(observation, zeros.astype(jnp.int32), zeros, observation, ended, ~ended & ended)

    def later_values(observation, end):
        transition_ = dataclasses.replace(transition, observation=observation, terminated=end)
        return algorithm.unroll(model, transition_, jnp.ones(4))[1][3:].sum()

    gradient = fast_jit(jax.grad(later_values))
    slope = np.asarray(gradient(observation, ended))
    assert (slope[:3] == 0).all()
    assert (slope[3:] != 0).any()
    assert (np.asarray(gradient(observation, ended & False))[:3] != 0).any()
    unroll = fast_jit(lambda memory: algorithm.unroll(model, transition, memory)[1][3:])
    assert_equal(unroll(jnp.zeros(4)), unroll(jnp.ones(4)))
