"""The trainer: what it refuses, what it counts, and what a user may bring."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import algorithms, envs, training
from bellmax._core import Counter
from bellmax.algorithms import DQN, PPO, ActorCritic
from bellmax.policies import Categorical
from bellmax.training import Trainer
from training import laws


def test_lanes_are_counted_from_one():
    with pytest.raises(ValueError, match=r"^num_envs must be at least 1; got 0"):
        Trainer(PPO(), envs.Chain(), num_envs=0)


def test_environment_outside_jax_is_refused():
    with pytest.raises(TypeError, match=r"Trainer: .* GymnasiumEnvironment, is not JAX; use experiment\.HostTrainer"):
        Trainer(PPO(), envs.make("gymnasium/CartPole-v1"), num_envs=1)  # pyright: ignore[reportArgumentType]


def test_every_lane_gives_as_much_to_a_batch():
    with pytest.raises(ValueError, match="num_envs must divide batch_size; got 3 and 8"):
        Trainer(laws.small_dqn(), envs.Chain(), num_envs=3)


@pytest.mark.parametrize(("name", "value"), [("capacity", 15), ("warm_up", 15)])
def test_replay_must_hold_a_rollout_and_wait_for_one(name, value):
    with pytest.raises(ValueError, match=r"capacity and warm_up must be at least rollout_length times num_envs, 16"):
        Trainer(laws.small_dqn(**{name: value}), envs.Chain(), num_envs=4)


def test_capacity_below_a_batch_is_refused():
    trainer = Trainer(DQN(capacity=16, batch_size=32, warm_up=16), envs.Chain(), num_envs=4)
    with pytest.raises(ValueError, match="capacity 4 must hold at least one sample of 8"):
        jax.eval_shape(trainer.init, jax.random.key(0))


def test_steps_are_those_of_all_lanes():
    assert Trainer(laws.small_ppo(), envs.Chain(), num_envs=3).steps_per_call == 24


def test_warm_up_is_waited_for():
    laws.law_warm_up_is_waited_for(laws.REAL)


@pytest.fixture(scope="module")
def forward():
    """A trainer that always steps forward along the chain, and its compiled step."""
    trainer = Trainer(Walker(), envs.Chain(), num_envs=3)
    return trainer, laws.fast_jit(trainer.init)(jax.random.key(0)), laws.fast_jit(trainer.step)


class Walker(laws.Forward):
    """Goes forward, eight steps a rollout; its state keeps the last rollout and its key."""

    @property
    def requirements(self):
        return algorithms.OnPolicy(8)

    def init(self, spaces, *, key):
        no = jnp.zeros((8, 3), bool)
        return jnp.zeros((8, 3)), no, jnp.zeros(2, jnp.uint32), jnp.zeros(())

    def update(self, state, batch, *, step, key, axis_name=None):
        transition = batch.transition
        ended = transition.terminated | transition.truncated
        return (transition.reward, ended, jax.random.key_data(key), step), {"one": jnp.ones(())}, algorithms.Feedback()


def test_episode_return_equals_a_recomputation(forward):
    _, state, step = forward
    start_length = np.zeros(3)
    for _ in range(3):
        state, metrics = step(state)
        reward, ended, *_ = laws.host(state.shared.algorithm)
        returns, lengths = [], []
        for t in range(8):
            start_length += 1
            for lane in np.flatnonzero(ended[t]):
                # Going forward an episode pays 1 with its last step, 0 before.
                returns.append(reward[t, lane])
                lengths.append(start_length[lane])
                start_length[lane] = 0
        np.testing.assert_allclose(float(metrics["episode_return"].value), np.mean(returns))
        np.testing.assert_allclose(float(metrics["episode_length"].value), np.mean(lengths), rtol=1e-6)
        assert float(metrics["episode_return"].weight) == len(returns)
        assert float(metrics["one"].value) == 1


@pytest.mark.parametrize("start", [2**24 - 24, 2**31 - 24, 2**32 - 24, 2**40 + 2**32 - 24])
def test_counter_goes_on_past_every_edge(forward, start):
    _, state, step = forward
    steps = Counter(jnp.uint32(start >> 32), jnp.uint32(start & 0xFFFFFFFF))
    state = training.TrainState(dataclasses.replace(state.shared, steps=steps), state.local)
    words = set()
    for call in range(3):
        assert int(state.shared.steps) == start + 24 * call
        state, _ = step(state)
        words.add(tuple(laws.host(state.shared.algorithm)[2].tolist()))
        # What schedules read: the float nearest the count before the rollout.
        np.testing.assert_allclose(float(state.shared.algorithm[3]), float(start + 24 * call), rtol=2e-7)
    assert len(words) == 3


def test_counter_words_make_different_keys():
    # Counts that share one word, or have their words swapped, do not share a key.
    key = jax.random.key(0)
    counts = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2**31), (2**31, 0)]
    keys = [Counter(jnp.uint32(high), jnp.uint32(low)).fold_into(key) for high, low in counts]
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == len(counts)


def test_counter_adds_what_it_says_it_adds():
    assert int(Counter.zero() + (2**32 - 1)) == 2**32 - 1


@pytest.mark.parametrize("make", [laws.small_ppo, laws.small_dqn], ids=["ppo", "dqn"])
def test_fresh_state_shares_no_buffer(make):
    _, state, _ = laws.small_run(make)
    words = jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf, state
    )
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(words) if leaf.size]
    assert len(set(pointers)) == len(pointers)


def test_dqn_learns_from_what_was_collected():
    # Replay holds the transitions of its own lane, in the order in which they came.
    _, state, step = laws.small_run(laws.small_dqn)
    state, _ = step(state)
    kept = laws.host(jax.vmap(lambda memory: memory.store.take(jnp.arange(4))[0])(state.local.kept.replay))
    observation, following = (np.asarray(leaf)[:, :4] for leaf in (kept.observation, kept.next_observation))
    ended = np.asarray(kept.terminated | kept.truncated)[:, :4]
    going_on = ~ended[:, :-1]
    np.testing.assert_array_equal(observation[:, 1:][going_on], following[:, :-1][going_on])
    np.testing.assert_array_equal(following[~ended[:, -1], -1], laws.host(state.local.lanes.observation)[~ended[:, -1]])
    assert (observation.sum(-1) == 1).all()


def equinox_actor_critic(spaces, *, key):
    first, second = jax.random.split(key)
    inputs = spaces.observation.shape[0]
    return ActorCritic(
        Categorical(eqx.nn.MLP(inputs, int(spaces.action.n), 4, 1, key=first)),
        eqx.nn.MLP(inputs, "scalar", 4, 1, key=second),
    )


def equinox_q_network(spaces, *, key):
    return eqx.nn.MLP(spaces.observation.shape[0], int(spaces.action.n), 4, 1, key=key)


@pytest.mark.parametrize("make", [laws.small_ppo, laws.small_dqn], ids=["ppo", "dqn"])
def test_own_network_may_be_any_equinox_module(make):
    network = equinox_actor_critic if make is laws.small_ppo else equinox_q_network
    trainer = Trainer(make(network=network), envs.Chain(), 4)
    jax.eval_shape(lambda key: training.train_chunk(trainer, trainer.init(key), 2), jax.random.key(0))


def test_off_policy_algorithm_may_keep_extras():
    class Curious(DQN):
        def act(self, state, observation, memory, *, step, key, explore=True):
            action, _, memory = super().act(state, observation, memory, step=step, key=key, explore=explore)
            return action, {"log_prob": jnp.zeros(())}, memory

    settings = dict(rollout_length=4, updates=2, batch_size=8, capacity=64, warm_up=32, hidden_sizes=(8,))
    trainer = Trainer(Curious(**settings), envs.Chain(), 4)
    jax.eval_shape(lambda key: trainer.step(trainer.init(key)), jax.random.key(0))


@pytest.mark.parametrize("make", [laws.small_ppo, laws.small_dqn], ids=["ppo", "dqn"])
def test_whole_training_may_be_mapped_over_hyperparameters(make):
    # The constructors of algorithm and trainer run under the trace.
    def train(rate, discount, key):
        trainer = Trainer(make(learning_rate=rate, discount=discount), envs.Chain(), 4)
        return training.train_chunk(trainer, trainer.init(key), 3)[0].shared.algorithm

    keys = jax.random.split(jax.random.key(0), 2)
    found = jax.eval_shape(jax.vmap(train), jnp.array([1e-3, 1e-2]), jnp.array([0.9, 0.99]), keys)
    assert all(leaf.shape[0] == 2 for leaf in jax.tree.leaves(found))
