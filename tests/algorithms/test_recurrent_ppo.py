"""Recurrent PPO: what it remembers while learning is what it remembered while acting, and no more."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

import faults
from bellmax import algorithms, envs, training
from bellmax._core import Spaces
from bellmax.algorithms import Batch, RecurrentPPO
from training import laws

CELLS = ["gru", "lstm"]
SPACES = Spaces(kinds.Box(-1.0, 1.0, (laws.FEATURES,), np.float32), kinds.Discrete(laws.ACTIONS))
SMALL = {"memory_size": 4, "hidden_sizes": (5,), "rollout_length": 8, "minibatches": 1, "epochs": 1}
DISCOUNT, LAMBDA = 0.9, 0.8


def small(kind=RecurrentPPO, **settings):
    return kind(**SMALL | {"discount": DISCOUNT, "gae_lambda": LAMBDA} | settings)


def start(algorithm, spaces=SPACES):
    return laws.fast_jit(lambda key: algorithm.init(spaces, key=key))(jax.random.key(0))


def memory_of(algorithm, lanes, value=0.3):
    """Returns a memory of some lanes in the middle of an episode."""
    draw = np.random.default_rng(1)
    initial = algorithm.init_memory(SPACES)
    return jax.tree.map(lambda leaf: jnp.asarray(value * draw.normal(size=(lanes, *leaf.shape)), jnp.float32), initial)


# ------------------------------------------------------------------------------------------------ what is evaluated


@functools.cache
def stepper(cell):
    """Returns a model, and its step as a compiled function."""
    model = start(small(cell=cell)).model
    return model, laws.fast_jit(lambda *args: model.step(*args))


def by_hand(cell, transition, memory):
    """Walks along each lane, one step at a time, and returns log-probabilities, values and advantages."""
    model, step = stepper(cell)
    time, lanes = transition.reward.shape
    ended = np.asarray(transition.terminated | transition.truncated)
    value, following, log_prob = (np.zeros((time, lanes)) for _ in range(3))
    for lane in range(lanes):
        now = jax.tree.map(lambda leaf, lane=lane: leaf[lane], memory)
        for t in range(time):
            now = model.initial() if t > 0 and ended[t - 1, lane] else now
            pi, value[t, lane], now = step(transition.observation[t, lane], now)
            log_prob[t, lane] = pi.log_prob(transition.action[t, lane])
            following[t, lane] = step(transition.next_observation[t, lane], now)[1]
    reward, terminated = np.asarray(transition.reward), np.asarray(transition.terminated)
    advantage, later = np.zeros((time, lanes)), np.zeros(lanes)
    for t in reversed(range(time)):
        delta = reward[t] + np.where(terminated[t], 0, DISCOUNT * following[t]) - value[t]
        later = delta + np.where(ended[t], 0, DISCOUNT * LAMBDA * later)
        advantage[t] = later
    return log_prob, value, advantage


def law_evaluated_as_walked(kind, cell="gru"):
    """Log-probabilities, values, advantages and targets are those of each lane's walk, over both kinds of end."""
    algorithm, transition = small(kind, cell=cell), laws._connected(laws.rollout())
    memory = memory_of(algorithm, 4)
    model, _ = stepper(cell)
    found = laws.fast_jit(lambda *args: algorithm._evaluate(*args))(model, Batch(transition, memory))
    log_prob, value, advantage = by_hand(cell, transition, memory)
    for name, wanted in zip(("log_prob", "value", "advantage"), (log_prob, value, advantage), strict=True):
        np.testing.assert_allclose(getattr(found, name).T, wanted, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(found.target.T, advantage + value, atol=2e-6)


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.slow)])
def test_rollout_is_evaluated_as_it_is_walked(cell):
    law_evaluated_as_walked(RecurrentPPO, cell)


FAULTS = {
    "memory kept over an end": ("ended[:, :-1]], axis=1)", "ended[:, :-1] & False], axis=1)"),
    "memory set back a step early": (
        "jnp.concatenate([jnp.zeros_like(ended[:, :1]), ended[:, :-1]], axis=1)",
        "ended",
    ),
    "memory kept over a truncation": ("ended = seen.terminated | seen.truncated", "ended = seen.terminated"),
    "memory set back at the start of the rollout": (
        "jnp.zeros_like(ended[:, :1])",
        "jnp.ones_like(ended[:, :1])",
    ),
    "successor seen without the step before it": (
        "(seen.next_observation, memory)",
        "(seen.next_observation, jax.tree.map(lambda leaf, all_: "
        "jnp.broadcast_to(leaf[:, None], all_.shape), batch.memory, memory))",
    ),
    "bootstrap at a terminal state": (
        "discounts, lambdas = with_ends(batch.transition",
        "discounts, lambdas = with_ends(dataclasses.replace(batch.transition, terminated=starts.T & False)",
    ),
    "truncation treated as termination": (
        "discounts, lambdas = with_ends(batch.transition",
        "discounts, lambdas = with_ends(dataclasses.replace(batch.transition, terminated=ended.T)",
    ),
    "trace not cut at truncation": (
        "discounts, lambdas = with_ends(batch.transition",
        "discounts, lambdas = with_ends(dataclasses.replace(batch.transition, truncated=starts.T & False)",
    ),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in FAULTS])
def test_fault_in_the_evaluation_is_found(name):
    with pytest.raises(AssertionError):
        law_evaluated_as_walked(faults.changed("bellmax.algorithms._recurrent_ppo", *FAULTS[name]).RecurrentPPO)


class Spying(RecurrentPPO):
    """Keeps the logits that acting saw."""

    def act(self, state, observation, memory, *, step, key, explore=True):
        action, _, after = super().act(state, observation, memory, step=step, key=key, explore=explore)
        return action, state.model.step(observation, memory)[0].logits, after


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_learning_sees_what_acting_saw(cell):
    # Rollouts of 6 steps cut episodes of 4 in their middle: memory crosses the border, and is forgotten at every end.
    algorithm, environment, lanes = small(Spying, cell=cell, rollout_length=6), envs.Recall(), 3
    spaces = environment.spaces
    keys = jax.random.split(jax.random.key(1), lanes)
    rollout = laws.fast_jit(
        lambda state, lanes_, key: laws.collecting.collect(
            algorithm, environment, state, lanes_, length=6, step=jnp.zeros(()), steps_at_once=3, key=key
        )[:2]
    )
    state = start(algorithm, spaces)
    before = jax.vmap(lambda key: laws.collecting.start_lane(algorithm, environment, key))(keys)
    unroll = laws.fast_jit(jax.vmap(lambda *args: state.model.unroll(*args), (1, 0, 1), 1))
    for call in range(3):
        after, seen = rollout(state, before, jax.random.key(call))
        ended = seen.terminated | seen.truncated
        starts = jnp.concatenate([jnp.zeros((1, lanes), bool), ended[:-1]])
        replayed, *_ = unroll(seen.observation, before.memory, starts)
        np.testing.assert_allclose(replayed.logits, seen.extras, atol=1e-6)
        before = after


# --------------------------------------------------------------------------------------------------------- learning


def update(algorithm, transition, state=None, *, memory=None, step=0.0, axis_name=None):
    state = start(algorithm) if state is None else state
    memory = memory_of(algorithm, transition.reward.shape[1]) if memory is None else memory

    def run(state, batch):
        return algorithm.update(state, batch, step=jnp.asarray(step), key=jax.random.key(5), axis_name=axis_name)[:2]

    return laws.fast_jit(run)(state, Batch(transition, memory))


@pytest.mark.slow
def test_first_ratio_is_one_and_nothing_is_skipped():
    _, metrics = update(small(cell="lstm"), laws.rollout())
    assert abs(float(metrics["approximate_kl"])) <= 1e-6
    assert float(metrics["clip_fraction"]) == 0
    assert float(metrics["skipped"]) == 0


@pytest.mark.slow
def test_gradient_is_that_of_the_loss_as_it_is_written():
    # One step of the optimiser with the clip out of reach: the direction is Adam's first, the sign of the gradient.
    algorithm, transition = small(learning_rate=1.0, max_gradient_norm=1e9, adam_epsilon=1e-12), laws.rollout()
    memory, state = memory_of(algorithm, 4), start(algorithm)
    after, _ = update(algorithm, transition, state, memory=memory)
    sequences = laws.fast_jit(lambda *args: algorithm._evaluate(*args))(state.model, Batch(transition, memory))
    advantage = np.asarray(sequences.advantage, np.float64)
    advantage = jnp.asarray((advantage - advantage.mean()) / advantage.std(), jnp.float32)

    def loss(model):
        pi, value, _ = jax.vmap(model.unroll)(sequences.observation, memory, sequences.starts)
        ratio = jnp.exp(pi.log_prob(sequences.action) - sequences.log_prob)
        policy = -(ratio * advantage).mean() + 0.5 * 0.5 * jnp.square(value - sequences.target).mean()
        return policy - 0.01 * pi.entropy().mean()

    gradient = jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(loss))(state.model))
    old, new = (jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)) for model in (state.model, after.model))
    for slope, one, other in zip(gradient, old, new, strict=True):
        large = np.abs(slope) > 1e-5
        np.testing.assert_allclose(np.asarray(other - one)[large], -np.sign(slope)[large], atol=1e-3)


@pytest.mark.slow
def test_clip_follows_its_schedule():
    settings = {"learning_rate": 0.05, "epochs": 8, "clip_epsilon": lambda step: 0.5 - step}
    wide, narrow = (
        float(update(small(**settings), laws.rollout(), step=step)[1]["clip_fraction"]) for step in (0, 0.499)
    )
    assert narrow > wide


@pytest.mark.slow
def test_nan_reward_is_skipped():
    transition = laws.rollout()
    transition = dataclasses.replace(transition, reward=transition.reward.at[1, 1].set(jnp.nan))
    algorithm = small()
    before = start(algorithm)
    after, metrics = update(algorithm, transition, before)
    assert float(metrics["skipped"]) == 1
    laws.assert_equal(*(jax.tree.leaves(laws.host(jax.tree.leaves(state.model))) for state in (before, after)))


# ------------------------------------------------------------------------------------------------------- minibatches


def groups(algorithm, lanes):
    found = np.asarray(laws.fast_jit(lambda key: algorithm._groups(lanes, key, None))(jax.random.key(0)))
    return found.reshape(algorithm.epochs, algorithm.minibatches, -1)


def test_every_lane_is_in_one_minibatch_an_epoch():
    for epoch in groups(small(epochs=5, minibatches=4), 12):
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(12))


def test_epochs_and_neighbours_are_mixed_each_in_its_own_way():
    found = groups(small(epochs=6, minibatches=4), 12)
    assert len(np.unique(found.reshape(6, -1), axis=0)) > 1
    assert (found // 4 == np.arange(3)).all()
    assert any((epoch[:, 0] != epoch[:, 1] - 4).any() for epoch in found)


def test_minibatches_do_not_depend_on_devices():
    algorithm = small(epochs=3, minibatches=2)
    spread = jax.vmap(lambda _: algorithm._groups(4, jax.random.key(0), "devices"), axis_name="devices")
    found = np.asarray(laws.fast_jit(spread)(jnp.arange(2))) + np.array([0, 4])[:, None, None]
    np.testing.assert_array_equal(np.concatenate(list(found), axis=-1), groups(algorithm, 8).reshape(6, 4))


def test_minibatches_must_divide_the_lanes():
    with pytest.raises(ValueError, match="minibatches must divide the lanes; got 3 and 4"):
        update(small(minibatches=3), laws.rollout())


# ----------------------------------------------------------------------------------------------------------- details


@pytest.mark.parametrize("name", ["rollout_length", "epochs", "minibatches", "memory_size"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        RecurrentPPO(**{name: 0})


def test_unknown_cell_is_answered_with_the_list():
    with pytest.raises(ValueError, match="cell must be one of gru, lstm; got 'rnn'"):
        RecurrentPPO(cell="rnn").init(SPACES, key=jax.random.key(0))


@pytest.mark.parametrize("cell", CELLS)
def test_memory_starts_at_zero_and_keeps_its_types(cell):
    algorithm = small(cell=cell)
    memory = algorithm.init_memory(SPACES)
    state = jax.eval_shape(lambda: algorithm.init(SPACES, key=jax.random.key(0)))
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(memory))
    after = jax.eval_shape(
        lambda state, memory: algorithm.act(state, jnp.zeros(3), memory, step=jnp.zeros(()), key=jax.random.key(0))[2],
        state,
        memory,
    )
    assert laws.avals(after)[1] == laws.avals(memory)[1]


def test_weights_and_masks_are_refused():
    algorithm, transition = small(), laws.rollout()
    batch = Batch(transition, memory_of(algorithm, 4), mask=transition.terminated)
    with pytest.raises(ValueError, match="no weight and no mask"):
        algorithm.update(start(algorithm), batch, step=jnp.zeros(()), key=jax.random.key(0))


@pytest.mark.slow
def test_masked_and_structured_actions_have_policies():
    mask = kinds.MultiBinary(3)
    masked = kinds.Dict({"observation": kinds.Box(-1.0, 1.0, (2,), np.float32), "action_mask": mask})
    algorithm = small()
    state = start(algorithm, Spaces(masked, kinds.Discrete(3)))
    seen = {"observation": jnp.ones((5, 2)), "action_mask": jnp.tile(jnp.array([1, 0, 1], jnp.int8), (5, 1))}
    pi, _, _ = state.model.unroll(seen, state.model.initial(), jnp.zeros(5, bool))
    np.testing.assert_array_equal(pi.probs[:, 1], 0)
    several = start(algorithm, Spaces(SPACES.observation, kinds.MultiDiscrete([2, 3])))
    pi, _, _ = several.model.unroll(jnp.ones((5, 3)), several.model.initial(), jnp.zeros(5, bool))
    assert pi.sample(seed=jax.random.key(0)).shape == (5, 2)


# ---------------------------------------------------------------------------------------------------- a recall task


def recalled(algorithm, calls):
    environment = envs.Recall(delay=3)
    trainer = training.Trainer(algorithm, environment, num_envs=16)

    def run(key):
        state, _ = training.train_chunk(trainer, trainer.init(key), calls)
        return training.evaluate(
            algorithm, environment, state.shared.algorithm, step=jnp.zeros(()), key=jax.random.key(5), episodes=512
        )

    episodes = laws.fast_jit(run)(jax.random.key(0))
    assert bool(episodes.finished.all())
    return float(episodes.episode_return.mean())


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
def test_memory_solves_recall(cell):
    algorithm = RecurrentPPO(
        cell=cell, learning_rate=1e-2, memory_size=16, hidden_sizes=(16,), rollout_length=16, minibatches=2
    )
    assert recalled(algorithm, 60) > 0.95


@pytest.mark.slow
def test_without_memory_recall_is_a_guess():
    # Five standard errors of a proportion over 512 episodes.
    ppo = algorithms.PPO(learning_rate=1e-2, hidden_sizes=(16,), rollout_length=16)
    assert recalled(ppo, 60) < 0.5 + 5 * np.sqrt(0.25 / 512)
