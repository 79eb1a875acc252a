"""Laws of what collects, learns and evaluates, written as functions so that planted faults can be put to them.

Each `law_*` takes a `Subject` (the classes and functions under test) and raises where they break the law.
"""

import dataclasses
import functools
import importlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces as kinds

from bellmax import algorithms, envs, training
from bellmax._core import Mean
from bellmax.algorithms import ActorCritic, Batch, Feedback, OnPolicy, Transition
from bellmax.envs import Spaces, Step, wrappers
from bellmax.policies import Categorical, Gaussian

collecting = importlib.import_module("bellmax.training._collect")


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is put to a law; a planted fault replaces a field."""

    PPO: Any = algorithms.PPO
    DQN: Any = algorithms.DQN
    Trainer: Any = training.Trainer
    collect: Any = collecting.collect
    evaluate: Any = training.evaluate


REAL = Subject()


def fast_jit(function, **settings):
    """Compiles with few optimisations: tests compile much and compute little."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0}, **settings)


def avals(tree):
    """Returns a tree's structure and the shape, type and weakness of type of each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in leaves]


def host(tree):
    """Copies a tree to NumPy arrays; keys become their words."""

    def one(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return jax.tree.map(one, tree)


def assert_equal(one, other):
    """Asserts that two trees are equal bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, host(one), host(other))


def largest_difference(one, other):
    """Returns the largest difference between the floating-point arrays of two trees."""
    one, other = (jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)) for tree in (one, other))
    assert len(one) == len(other) > 0
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in zip(one, other, strict=True))


def cut(state, devices):
    """Cuts the local half of a training state into devices."""
    local = jax.tree.map(lambda leaf: leaf.reshape(devices, -1, *leaf.shape[1:]), state.local)
    return training.TrainState(state.shared, local)


PREFIX = training.TrainState(None, 0)


class Around(envs.AbstractEnvironment):
    """Another environment, whose state has something more beside it: at the start of an episode, `own()`."""

    inner: envs.AbstractEnvironment

    @property
    def spaces(self):
        return self.inner.spaces

    def reset(self, *, key):
        state, observation = self.inner.reset(key=key)
        return (state, self.own()), observation


def on_devices(step):
    """Simulates devices by a mapped axis; whatever is shared and differs between them raises."""
    return jax.vmap(
        lambda state: step(state, axis_name="devices"), in_axes=(PREFIX,), out_axes=(PREFIX, None), axis_name="devices"
    )


# ---------------------------------------------------------------------------------------------------- diary


class Diary(envs.AbstractEnvironment):
    """Writes the key of `reset` and of each `step` into the observation, beside whether it is a reset and the time.

    Episodes last 1, 2 or 3 steps, as the key of the reset says, and end by termination, truncation, or both. The reward
    is the action as it arrived.
    """

    @property
    def spaces(self):
        words = kinds.Box(0, 2**32 - 1, (4,), np.uint32)
        return Spaces(words, kinds.Box(-1.0, 1.0, (1,), np.float32))

    def reset(self, *, key):
        words = jax.random.key_data(key)
        length = 1 + (words[1] % 3).astype(jnp.int32)
        time = jnp.zeros((), jnp.int32)
        return (length, time), self._write(True, time, words)

    def step(self, state, action, *, key):
        length, time = state
        time = time + 1
        ended = time == length
        return (length, time), Step(
            self._write(False, time, jax.random.key_data(key)),
            action[0],
            terminated=ended & (length != 2),
            truncated=ended & (length != 1),
        )

    def _write(self, is_reset, time, words):
        return jnp.stack([jnp.uint32(is_reset), time.astype(jnp.uint32), *words])


class Recorder(algorithms.AbstractAlgorithm):
    """Learns nothing, keeps what it was given: its state is the last batch and the last key."""

    lanes: int = eqx.field(static=True)
    rollout_length: int = eqx.field(static=True)

    @property
    def requirements(self):
        return OnPolicy(self.rollout_length)

    def init(self, spaces, *, key):
        shape = (self.rollout_length, self.lanes)
        observation = jnp.zeros((*shape, 4), jnp.uint32)
        extras = {"words": jnp.zeros((*shape, 2), jnp.uint32), "memory": jnp.zeros(shape), "step": jnp.zeros(shape)}
        no = jnp.zeros(shape, bool)
        transition = Transition(observation, jnp.zeros((*shape, 1)), jnp.zeros(shape), observation, no, no, extras)
        return {
            "transition": transition,
            "memory": jnp.zeros(self.lanes),
            "words": jax.random.key_data(key),
            "step": jnp.zeros(()),
        }

    def init_memory(self, spaces):
        return jnp.full((), 10.0)

    def act(self, state, observation, memory, *, step, key, explore=True):
        action = 3 * jax.random.normal(key, (1,))
        return action, {"words": jax.random.key_data(key), "memory": memory, "step": step}, memory + 1

    def update(self, state, batch, *, step, key, axis_name=None):
        words = jax.random.key_data(key)
        return {"transition": batch.transition, "memory": batch.memory, "words": words, "step": step}, {}, Feedback()


DIARY_LANES, DIARY_LENGTH = 4, 6


def read_diary(subject, calls=2):
    """Returns what a recorder saw in some successive steps, and the metrics."""
    trainer = subject.Trainer(Recorder(DIARY_LANES, DIARY_LENGTH), Diary(), DIARY_LANES)
    start = state = fast_jit(trainer.init)(jax.random.key(3))
    step = fast_jit(trainer.step)
    pages = []
    for _ in range(calls):
        state, metrics = step(state)
        pages.append((host(state.shared.algorithm), metrics))
    return start, pages


def law_keys_differ(subject, diary=None):
    """No two draws share a key: over lanes, time, purposes and successive steps."""
    start, pages = diary or read_diary(subject)
    first = host(start.local.lanes.observation)
    words = [first[:, 2:]]
    for page, _ in pages:
        transition = page["transition"]
        words += [transition.extras["words"].reshape(-1, 2), page["words"][None]]
        words.append(transition.next_observation[..., 2:].reshape(-1, 2))
        # The reset after an end shows in the next observation; the first observation of a page is the last page's.
        resets = (transition.observation[..., 0] == 1) & (np.arange(DIARY_LENGTH) > 0)[:, None]
        words.append(transition.observation[resets][:, 2:])
    words = np.concatenate(words)
    assert len(np.unique(words, axis=0)) == len(words), "two draws share a key"


def law_action_keys_differ_between_lanes(subject, diary=None):
    """Lanes do not act alike."""
    _, pages = diary or read_diary(subject)
    for page, _ in pages:
        for words in page["transition"].extras["words"]:
            assert len(np.unique(words, axis=0)) == DIARY_LANES, "lanes share the key of their action"


def law_successor_is_true(subject, diary=None):
    """The successor in the record is the one before any reset; the next observation is the one after."""
    _, pages = diary or read_diary(subject)
    both = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[page["transition"] for page, _ in pages])
    ended = both.terminated | both.truncated
    assert ended.any(axis=0).all(), "every lane should see an end"
    assert not both.next_observation[..., 0].any(), "a reset observation stands as successor"
    np.testing.assert_array_equal(both.next_observation[..., 1], both.observation[..., 1] + 1)
    np.testing.assert_array_equal(both.observation[1:][..., 0], ended[:-1], "a reset follows each end, and only that")
    going_on = ~ended[:-1]
    np.testing.assert_array_equal(both.observation[1:][going_on], both.next_observation[:-1][going_on])


def law_action_is_stored_as_sampled(subject, diary=None):
    """The border clips what the environment gets, never what is learned from."""
    _, pages = diary or read_diary(subject)
    transition = pages[0][0]["transition"]
    action = transition.action[..., 0]
    assert (np.abs(action) > 1).any(), "the action was clipped before it was stored"
    np.testing.assert_array_equal(transition.reward, np.clip(action, -1, 1))


def law_memory_is_reset(subject, diary=None):
    """Memory counts the steps of its own episode, and the batch holds what a lane remembered before the rollout."""
    _, pages = diary or read_diary(subject)
    for page, _ in pages:
        transition = page["transition"]
        np.testing.assert_array_equal(transition.extras["memory"], 10.0 + transition.observation[..., 1])
        np.testing.assert_array_equal(page["memory"], transition.extras["memory"][0])


def law_step_is_counted(subject, diary=None):
    """`act` sees the count of all lanes' steps, `update` the count before the rollout."""
    _, pages = diary or read_diary(subject)
    for call, (page, _) in enumerate(pages):
        before = call * DIARY_LANES * DIARY_LENGTH
        assert page["step"] == before
        wanted = before + DIARY_LANES * np.arange(DIARY_LENGTH)
        np.testing.assert_array_equal(page["transition"].extras["step"], np.tile(wanted[:, None], DIARY_LANES))


def law_accumulators_go_on(subject):
    """Running returns go from rollout to rollout: here of rewards of one, in episodes of five steps."""
    environment = wrappers.TransformReward(envs.Chain(length=100, time_limit=5), jnp.ones_like)
    ppo = subject.PPO(
        rollout_length=8, minibatches=2, epochs=1, hidden_sizes=(4,), discount=0.5, normalise_rewards=True
    )
    trainer = subject.Trainer(ppo, environment, 2)
    state, step = fast_jit(trainer.init)(jax.random.key(0)), fast_jit(trainer.step)
    for calls in range(1, 4):
        state, _ = step(state)
        running = 2 - 0.5 ** np.arange(5)  # 1, 1.5, 1.75, ... after each step of an episode
        seen = np.resize(running, 8 * calls)
        np.testing.assert_allclose(state.local.kept.accumulators, np.append(0, running)[8 * calls % 5], rtol=1e-6)
        np.testing.assert_allclose(state.shared.algorithm.reward_moments.mean, seen.mean(), rtol=1e-5)
        np.testing.assert_allclose(state.shared.algorithm.reward_moments.variance, seen.var(), rtol=1e-4)


def law_episode_metrics(subject, diary=None):
    """Returns and lengths are those of the episodes that ended, each summed from its own start."""
    _, pages = diary or read_diary(subject)
    running, length = np.zeros(DIARY_LANES, np.float64), np.zeros(DIARY_LANES)
    for page, metrics in pages:
        transition, returns, lengths = page["transition"], [], []
        for reward, ended in zip(transition.reward, transition.terminated | transition.truncated, strict=True):
            running, length = running + reward, length + 1
            returns += list(running[ended])
            lengths += list(length[ended])
            running, length = np.where(ended, 0, running), np.where(ended, 0, length)
        assert float(metrics["episode_return"].weight) == len(returns) > 0
        np.testing.assert_allclose(float(metrics["episode_return"].total), np.sum(returns), atol=1e-5)
        np.testing.assert_allclose(float(metrics["episode_length"].value), np.mean(lengths), rtol=1e-6)


def law_lanes_do_not_depend_on_devices(subject):
    """Two devices with half of the lanes each see what one sees with all, bit for bit."""
    recorder, environment, lanes = Recorder(DIARY_LANES, 3), Diary(), DIARY_LANES
    keys = jax.random.split(jax.random.key(1), lanes)
    start = jax.vmap(lambda key: collecting.start_lane(recorder, environment, key))(keys)

    def collect(lanes, axis_name=None):
        key, step = jax.random.key(2), jnp.zeros(())
        return subject.collect(
            recorder, environment, None, lanes, length=3, step=step, steps_at_once=4, key=key, axis_name=axis_name
        )[:2]

    whole = fast_jit(collect)(start)
    halves = jax.tree.map(lambda leaf: leaf.reshape(2, -1, *leaf.shape[1:]), start)
    # Lanes lead in the state and come second in the transitions.
    spread = fast_jit(jax.vmap(lambda lanes: collect(lanes, "devices"), out_axes=(0, 1), axis_name="devices"))(halves)
    joined = jax.tree.map(lambda leaf, like: leaf.reshape(like.shape), spread, whole)
    assert_equal(whole, joined)


# ------------------------------------------------------------------------------------------------ PPO


class LinearValue(eqx.Module):
    """A critic whose values anyone can compute."""

    weight: jax.Array

    def __call__(self, observation):
        return observation @ self.weight


class LinearActor(eqx.Module):
    """Logits, or a mean, that are linear in the observation."""

    weight: jax.Array
    bias: jax.Array

    def __call__(self, observation):
        return self.weight @ observation + self.bias


FEATURES, ACTIONS = 3, 2


def linear_model(kind="discrete", seed=0):
    """Makes an actor-critic of linear functions."""
    draw = np.random.default_rng(seed)
    network = LinearActor(
        jnp.asarray(draw.normal(size=(ACTIONS, FEATURES)), jnp.float32),
        jnp.asarray(draw.normal(size=ACTIONS), jnp.float32),
    )
    actor = Categorical(network) if kind == "discrete" else Gaussian(network, jnp.array([-0.3, 0.2]))
    return ActorCritic(actor, LinearValue(jnp.asarray(draw.normal(size=FEATURES), jnp.float32)))


def rollout(time=8, lanes=4, kind="discrete", seed=0, reward_scale=1.0, ends=True):
    """Makes transitions with a termination, a truncation, both at once and neither, on lanes 0 to 3."""
    draw = np.random.default_rng(seed)

    def normal(*shape):
        return draw.normal(size=shape).astype(np.float32)

    terminated, truncated = np.zeros((time, lanes), bool), np.zeros((time, lanes), bool)
    if ends:
        for lane in range(lanes):
            terminated[2 + lane // 4, lane] = lane % 4 in (0, 2)
            truncated[2 + lane // 4, lane] = lane % 4 in (1, 2)
    action = draw.integers(0, ACTIONS, (time, lanes)).astype(np.int32) if kind == "discrete" else normal(time, lanes, 2)
    return jax.tree.map(
        jnp.asarray,
        Transition(
            normal(time, lanes, FEATURES),
            action,
            reward_scale * normal(time, lanes),
            normal(time, lanes, FEATURES),
            terminated,
            truncated,
        ),
    )


def advantages_by_hand(transition, weight, discount, lambda_):
    """Cuts the trajectory into episodes and runs GAE over each, in plain Python."""
    transition, weight = host(transition), np.asarray(weight, np.float64)
    time, lanes = transition.reward.shape
    advantages = np.zeros((time, lanes))
    for lane in range(lanes):
        pieces, start = [], 0
        for t in range(time):
            if transition.terminated[t, lane] or transition.truncated[t, lane] or t == time - 1:
                pieces.append((start, t))
                start = t + 1
        for first, last in pieces:
            later = 0.0
            for t in range(last, first - 1, -1):
                value = transition.observation[t, lane] @ weight
                successor = transition.next_observation[t, lane] @ weight
                bootstrap = 0.0 if transition.terminated[t, lane] else successor
                delta = transition.reward[t, lane] + discount * bootstrap - value
                later = delta + (discount * lambda_ * later if t < last else 0.0)
                advantages[t, lane] = later
    return advantages


def _connected(transition):
    """Makes each successor the next observation wherever the episode goes on."""
    ended = (transition.terminated | transition.truncated)[:-1, :, None]
    following = jnp.where(ended, transition.next_observation[:-1], transition.observation[1:])
    return dataclasses.replace(
        transition, next_observation=jnp.concatenate([following, transition.next_observation[-1:]])
    )


def law_advantages_respect_episode_ends(subject):
    """Termination, truncation, both, neither: advantages are those of the episodes cut apart."""
    model, transition = linear_model(), _connected(rollout())
    ppo = subject.PPO(discount=0.9, gae_lambda=0.8, rollout_length=8)
    found = ppo._evaluate(model, Batch(transition))
    wanted = advantages_by_hand(transition, model.critic.weight, 0.9, 0.8)
    np.testing.assert_allclose(np.asarray(found.advantage).reshape(8, 4), wanted, atol=2e-5)
    value = np.asarray(transition.observation @ model.critic.weight)
    np.testing.assert_allclose(np.asarray(found.target).reshape(8, 4), wanted + value, atol=2e-5)


def law_future_of_another_episode_is_invisible(subject):
    """What follows an end changes nothing before it, not by one bit."""
    model, transition = linear_model(), _connected(rollout())
    ppo = subject.PPO(discount=0.9, gae_lambda=0.8, rollout_length=8)
    after = jnp.arange(8)[:, None] > 2

    def disturb(leaf):
        mask = after.reshape(8, 1, *(1,) * (leaf.ndim - 2))
        return jnp.where(mask, -7 * leaf + 3, leaf) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    disturbed = jax.tree.map(disturb, transition)
    before = [
        np.asarray(ppo._evaluate(model, Batch(t)).advantage).reshape(8, 4)[:3, :3] for t in (transition, disturbed)
    ]
    np.testing.assert_array_equal(*before)


def _order(ppo, lanes):
    return np.asarray(fast_jit(lambda key: ppo._shuffle(ppo.rollout_length, lanes, key, None))(jax.random.key(0)))


def law_shuffle_takes_every_step_once_an_epoch(subject):
    """Each epoch is a permutation of the rollout, each minibatch holds as many steps of one lane as of another."""
    length, lanes, epochs, minibatches = 16, 3, 3, 4
    ppo = subject.PPO(rollout_length=length, epochs=epochs, minibatches=minibatches)
    indices = _order(ppo, lanes).reshape(epochs, minibatches, -1)
    for epoch in indices:
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(length * lanes))
        for minibatch in epoch:
            np.testing.assert_array_equal(np.bincount(minibatch % lanes), np.full(lanes, length // minibatches))


def law_shuffle_mixes_time(subject):
    """A minibatch is no stretch of time, and lanes are mixed each in its own way."""
    length, lanes = 32, 3
    ppo = subject.PPO(rollout_length=length, epochs=1, minibatches=4)
    times = _order(ppo, lanes).reshape(length, lanes) // lanes
    for lane in range(lanes):
        assert np.mean(times[:, lane] == np.arange(length)) < 0.5, "the steps come in the order of time"
    assert (times[:, 0] != times[:, 1]).any(), "lanes share their permutation"


def law_shuffle_differs_between_epochs(subject):
    """An epoch does not repeat the minibatches of the one before."""
    ppo = subject.PPO(rollout_length=16, epochs=3, minibatches=4)
    indices = _order(ppo, 2).reshape(3, -1)
    assert (indices[0] != indices[1]).any()
    assert (indices[1] != indices[2]).any()


def one_update(ppo, model, transition, *, seed=0):
    """Updates once, from a state made of the model."""
    state = _ppo_state(ppo, model)

    def update(state, transition):
        return ppo.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(seed))[:2]

    return fast_jit(update)(state, transition)


def _ppo_state(ppo, model):
    spaces = Spaces(kinds.Box(-1.0, 1.0, (FEATURES,), np.float32), kinds.Discrete(ACTIONS))
    return dataclasses.replace(ppo, network=lambda spaces, key: model).init(spaces, key=jax.random.key(0))


def law_entropy_bonus_raises_entropy(subject, kind="discrete"):
    """Where no action is better than another, the bonus alone moves the policy: towards more entropy."""
    ppo = subject.PPO(
        learning_rate=0.05, entropy_coefficient=0.1, value_coefficient=0.0, rollout_length=4, epochs=2, minibatches=1
    )
    model = eqx.tree_at(lambda model: model.critic.weight, linear_model(kind), jnp.zeros(FEATURES))
    transition = dataclasses.replace(rollout(4, 2, kind, ends=False), reward=jnp.zeros((4, 2)))
    state, _ = one_update(ppo, model, transition)

    def entropy(model):
        return float(jnp.mean(jax.vmap(lambda o: model.actor(o).entropy())(transition.observation.reshape(-1, 3))))

    assert entropy(state.model) > entropy(model) + 1e-3


def law_first_ratio_is_one(subject, kind="discrete"):
    """Before the first step the learner is the behaviour: the log-ratio is zero, and so is what it adds up to."""
    ppo = subject.PPO(rollout_length=8, epochs=1, minibatches=1)
    _, metrics = one_update(ppo, linear_model(kind), rollout(kind=kind))
    assert abs(float(metrics["approximate_kl"])) <= 1e-6
    assert float(metrics["clip_fraction"]) == 0


def law_log_prob_is_of_the_stored_action(subject, kind="discrete"):
    """Log-probabilities are those that the policy gives the actions in the record."""
    model, transition = linear_model(kind), rollout(kind=kind)
    found = np.asarray(subject.PPO(rollout_length=8)._evaluate(model, Batch(transition)).log_prob).reshape(8, 4)
    observation, action = np.asarray(transition.observation, np.float64), np.asarray(transition.action)
    network = model.actor.network
    outputs = observation @ np.asarray(network.weight, np.float64).T + np.asarray(network.bias, np.float64)
    if kind == "discrete":
        log_probs = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
        wanted = np.take_along_axis(log_probs, action[..., None], -1)[..., 0]
    else:
        logvar = np.asarray(model.actor.logvar, np.float64)
        wanted = -0.5 * ((action - outputs) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)).sum(-1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def law_advantages_are_normalised_over_all_devices(subject):
    """Half of the lanes a device gives the parameters that all lanes on one give, however unlike the halves are."""
    ppo = subject.PPO(learning_rate=1e-2, rollout_length=4, epochs=2, minibatches=2, max_gradient_norm=1e9)
    transition = rollout(4, 4, ends=False)
    # The second half's rewards are far larger: a mean and variance of each device's own would show.
    reward = transition.reward * jnp.array([0.1, 0.1, 30.0, 30.0]) + jnp.array([0.0, 0.0, 50.0, 50.0])
    transition = dataclasses.replace(transition, reward=reward)
    state = _ppo_state(ppo, linear_model())

    def update(transition, axis_name=None):
        batch, step, key = Batch(transition), jnp.zeros(()), jax.random.key(5)
        return ppo.update(state, batch, step=step, key=key, axis_name=axis_name)[0].model.actor

    whole = fast_jit(update)(transition)
    halves = jax.tree.map(lambda leaf: jnp.moveaxis(leaf.reshape(4, 2, 2, *leaf.shape[2:]), 1, 0), transition)
    spread = fast_jit(jax.vmap(lambda transition: update(transition, "devices"), out_axes=None, axis_name="devices"))(
        halves
    )
    assert largest_difference(whole, spread) <= 2e-6


def law_nan_reward_is_skipped(subject):
    """A minibatch with a NaN moves no parameter, and is counted."""
    ppo = subject.PPO(rollout_length=4, epochs=2, minibatches=1)
    transition = rollout(4, 2, ends=False)
    transition = dataclasses.replace(transition, reward=transition.reward.at[1, 0].set(jnp.nan))
    model = linear_model()
    state, metrics = one_update(ppo, model, transition)
    assert_equal(eqx.filter(state.model, eqx.is_array), eqx.filter(model, eqx.is_array))
    assert float(metrics["skipped"]) == 1


# ------------------------------------------------------------------------------------------------ DQN


class Table(eqx.Module):
    """Action values that are linear in a one-hot observation: a table."""

    values: jax.Array

    def __call__(self, observation):
        return observation @ self.values


Q_ONLINE = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 0.5]], np.float32)
Q_TARGET = np.array([[5.0, 4.0], [7.0, 10.0], [6.0, 8.0]], np.float32)


def dqn_state(dqn, online=Q_ONLINE, target=Q_TARGET):
    """Makes a state out of two tables."""
    spaces = Spaces(kinds.Box(0.0, 1.0, (3,), np.float32), kinds.Discrete(2))
    state = dataclasses.replace(dqn, network=lambda spaces, key: Table(jnp.asarray(online))).init(
        spaces, key=jax.random.key(0)
    )
    return dataclasses.replace(state, target=Table(jnp.asarray(target)))


def dqn_batch():
    """Makes four transitions from state to state: going on, terminated, truncated, both."""
    state, following = np.array([0, 1, 2, 0]), np.array([1, 1, 2, 2])
    return Batch(
        Transition(
            jax.nn.one_hot(state, 3),
            jnp.array([0, 1, 1, 1]),
            jnp.array([0.5, 1.0, -1.0, 2.0]),
            jax.nn.one_hot(following, 3),
            jnp.array([False, True, False, True]),
            jnp.array([False, False, True, True]),
        )
    )


def dqn_errors(dqn, *, step=0.0):
    """Returns the absolute temporal-difference errors of the four transitions."""

    def errors(state):
        return dqn.update(state, dqn_batch(), step=jnp.asarray(step), key=jax.random.key(0))[2].priority

    return np.asarray(fast_jit(errors)(dqn_state(dqn)))


def law_only_termination_stops_the_bootstrap(subject):
    """Single Q-learning by hand: |r + γ max Q_target(s') − Q(s, a)|, the bootstrap zero where terminated."""
    errors = dqn_errors(subject.DQN(discount=0.5, double=False))
    # 0.5 + 0.5·10 − 1;  1 + 0 − 1;  −1 + 0.5·8 − 0.5;  2 + 0 − 2
    np.testing.assert_allclose(errors, [4.5, 0.0, 2.5, 0.0], atol=1e-6)


def law_double_q_selects_online_and_evaluates_target(subject):
    """Double Q-learning by hand: the online table prefers action 0 in state 1, action 1 in state 2."""
    errors = dqn_errors(subject.DQN(discount=0.5, double=True))
    # 0.5 + 0.5·7 − 1;  1 + 0 − 1;  −1 + 0.5·8 − 0.5;  2 + 0 − 2
    np.testing.assert_allclose(errors, [3.0, 0.0, 2.5, 0.0], atol=1e-6)


def law_target_moves_every_period(subject):
    """The target stays for `target_period` − 1 updates and moves by `target_step` of the way with the next."""
    dqn = subject.DQN(learning_rate=0.1, target_period=3, target_step=0.25)
    update = fast_jit(lambda state: dqn.update(state, dqn_batch(), step=jnp.zeros(()), key=jax.random.key(0))[0])
    state = dqn_state(dqn)
    for call in range(1, 7):
        before, state = state, update(state)
        assert (np.asarray(state.online.values) != np.asarray(before.online.values)).any()
        if call % 3:
            assert_equal(state.target.values, before.target.values)
        else:
            wanted = 0.75 * before.target.values + 0.25 * state.online.values
            np.testing.assert_allclose(state.target.values, wanted, rtol=1e-6)
            assert (np.asarray(state.target.values) != np.asarray(before.target.values)).any()


def law_exploration_follows_epsilon(subject):
    """ε is read at the step, and an action other than the best comes with probability ε/2."""
    dqn = subject.DQN(epsilon=lambda step: jnp.where(step < 100, 1.0, 0.2))
    state, observation = dqn_state(dqn), jax.nn.one_hot(0, 3)

    def act(key, step):
        return dqn.act(state, observation, None, step=step, key=key)[0]

    keys = jax.random.split(jax.random.key(0), 4000)
    for step, wanted in ((0.0, 0.5), (99.0, 0.5), (100.0, 0.1)):
        actions = np.asarray(fast_jit(jax.vmap(act, (0, None)))(keys, jnp.asarray(step)))
        # Four standard errors of a proportion over 4000 draws.
        assert abs(np.mean(actions == 0) - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 4000)


def law_evaluation_is_greedy(subject):
    """Without exploration the best action is taken, whatever ε is."""
    dqn = subject.DQN(epsilon=1.0)
    state = dqn_state(dqn)
    keys = jax.random.split(jax.random.key(0), 64)
    actions = [
        jax.vmap(lambda key, o=o: dqn.act(state, o, None, step=jnp.zeros(()), key=key, explore=False)[0])(keys)
        for o in jnp.eye(3)
    ]
    np.testing.assert_array_equal(actions, np.tile([[1], [0], [1]], 64))


def law_target_is_a_copy(subject):
    """One buffer under two leaves could not be donated."""
    spaces = Spaces(kinds.Box(0.0, 1.0, (3,), np.float32), kinds.Discrete(2))
    state = subject.DQN(hidden_sizes=(4,)).init(spaces, key=jax.random.key(0))
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.online, state.target))]
    assert len(set(pointers)) == len(pointers)


# --------------------------------------------------------------------------------------------- evaluation


class Forward(algorithms.AbstractAlgorithm):
    """Always takes the same action; its state counts nothing and never changes."""

    action: int = eqx.field(static=True, default=1)

    @property
    def requirements(self):
        return OnPolicy(1)

    def init(self, spaces, *, key):
        return jnp.zeros(())

    def act(self, state, observation, memory, *, step, key, explore=True):
        return jnp.full((), self.action, jnp.int32), None, memory

    def update(self, state, batch, *, step, key, axis_name=None):
        return state, {}, Feedback()


class Payday(envs.AbstractEnvironment):
    """Pays 1 a step, after the end of the episode too; an episode lasts 1 to 4 steps, as its reset says."""

    @property
    def spaces(self):
        return Spaces(kinds.Box(0.0, 4.0, (1,), np.float32), kinds.Discrete(2))

    def reset(self, *, key):
        length = jax.random.randint(key, (), 1, 5)
        return (length, jnp.zeros((), jnp.int32)), length[None].astype(float)

    def step(self, state, action, *, key):
        length, time = state
        state = (length, time + 1)
        # The end shows in one step only: an evaluation that looks at the last flag alone would go on for ever.
        return state, Step(length[None].astype(float), jnp.ones(()), time + 1 == length, jnp.array(False))


def law_evaluation_plays_one_episode_each(subject):
    """Rewards and steps after the end of an environment's one episode do not count."""
    run = fast_jit(
        lambda key: subject.evaluate(Forward(), Payday(), None, step=jnp.zeros(()), key=key, episodes=16, max_steps=9)
    )
    episodes = run(jax.random.key(0))
    assert episodes.episode_return.shape == (16,)
    assert bool(episodes.finished.all())
    lengths = np.asarray(episodes.episode_length)
    assert set(lengths) == {1, 2, 3, 4}, "sixteen episodes should show every length"
    np.testing.assert_array_equal(episodes.episode_return, lengths)


def mean_values(metrics):
    """Returns the values of a dictionary of metrics."""
    assert all(isinstance(metric, Mean) for metric in metrics.values())
    return {name: np.asarray(metric.value) for name, metric in metrics.items()}


class Flag(Forward):
    """Takes action 1 where it explores, else action 0."""

    def act(self, state, observation, memory, *, step, key, explore=True):
        return jnp.full((), int(explore), jnp.int32), None, memory


def law_evaluation_explores_only_on_request(subject):
    """The policy's mode is played unless exploration is asked for; the bandit's arms pay 0, 1/2 and 1."""
    for explore, wanted in ((False, 0.0), (True, 0.5)):
        episodes = subject.evaluate(
            Flag(), envs.Bandit(), None, step=jnp.zeros(()), key=jax.random.key(0), episodes=2, explore=explore
        )
        np.testing.assert_array_equal(episodes.episode_return, [wanted, wanted])


# ------------------------------------------------------------------------------------------------ trainer


def small_ppo(subject=REAL, **settings):
    """Makes a PPO that compiles fast."""
    return subject.PPO(
        **dict(rollout_length=8, epochs=2, minibatches=2, hidden_sizes=(8,), learning_rate=1e-2) | settings
    )


def small_dqn(subject=REAL, **settings):
    """Makes a DQN that compiles fast and learns from its third step on."""
    sizes = dict(rollout_length=4, updates=2, batch_size=8, capacity=64, warm_up=32, hidden_sizes=(8,))
    return subject.DQN(**sizes | dict(target_period=3, learning_rate=1e-2) | settings)


@functools.cache
def small_run(make):
    """Returns a small trainer on the chain, its state at the start, and its compiled step: one for all tests."""
    trainer = training.Trainer(make(), envs.Chain(), 4)
    return trainer, fast_jit(trainer.init)(jax.random.key(0)), fast_jit(trainer.step)


def law_shared_half_is_the_same_on_every_device(subject, make=small_ppo):
    """Shapes alone show it: what is shared may not depend on the device, so a forgotten mean raises."""
    training.check_step(subject.Trainer(make(subject), envs.Chain(), 4))


def law_warm_up_is_waited_for(subject):
    """Nothing is learned before `warm_up` environment steps, and then `updates` times a round."""
    trainer = subject.Trainer(small_dqn(subject), envs.Chain(), 4)
    state, step = fast_jit(trainer.init)(jax.random.key(0)), fast_jit(trainer.step)
    for call in range(4):
        before, (state, metrics) = state, step(state)
        moved = largest_difference(before.shared.algorithm.online, state.shared.algorithm.online) > 0
        assert moved == (call >= 2), "16 steps a call, 32 before the first update"
        assert float(metrics["loss"].weight) == (2 if moved else 0)
        assert int(state.shared.algorithm.updates) == 2 * max(call - 1, 0)
