"""One table of algorithms: each row goes through all that any algorithm must keep, and a new one joins by one line."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import algorithms, envs, training
from training import laws

PPO = functools.partial(algorithms.PPO, hidden_sizes=(8,), rollout_length=8, epochs=2, minibatches=2)
DQN = functools.partial(
    algorithms.DQN, hidden_sizes=(8,), rollout_length=4, updates=2, batch_size=8, capacity=64, warm_up=16, epsilon=0.3
)
SMALL_ACTOR_CRITIC = dict(hidden_sizes=(8,), rollout_length=4, updates=2, batch_size=8, capacity=64, warm_up=16)
EVERY_SAC_CHOICE = dict(state_dependent=True, n_step=3, prioritised=True, normalise_observations=True, policy_delay=2)

SMALL_REPLAY = dict(hidden_sizes=(8,), rollout_length=4, updates=2, batch_size=8, capacity=64, warm_up=16, epsilon=0.3)
EVERY_CHOICE = SMALL_REPLAY | dict(dueling=True, noisy=True, n_step=3, prioritised=True, normalise_observations=True)
UNIT = dict(atoms=21, lowest_value=-1.0, highest_value=1.0)
RECURRENT = functools.partial(
    algorithms.RecurrentPPO, cell="lstm", memory_size=8, hidden_sizes=(8,), rollout_length=8, epochs=2, minibatches=2
)
POLICY_GRADIENT = functools.partial(
    algorithms.PolicyGradient, behaviour="target", target_step=0.5, hidden_sizes=(8,), rollout_length=8, minibatches=2
)

NORMALISED = {"normalise_observations": True, "normalise_rewards": True}

SMALL = {"hidden_sizes": (8,), "rollout_length": 8}
PENALISED = {"objective": "kl", "shared_torso": True}

# Name, factory, environment, number of lanes.
TABLE = [
    ("ppo", PPO, "toy/chain", 4),
    ("dqn", DQN, "toy/chain", 4),
    ("a2c", functools.partial(algorithms.A2C, **SMALL), "toy/chain", 4),
    ("impala", functools.partial(algorithms.IMPALA, **SMALL), "toy/chain", 4),
    ("pqn", functools.partial(algorithms.PQN, **SMALL, epochs=2, minibatches=2), "toy/chain", 4),
    ("ppo-kl-shared", functools.partial(PPO, **PENALISED), "toy/chain", 4),
    ("reinforce", functools.partial(algorithms.REINFORCE, **SMALL), "toy/chain", 4),
    ("ppo-gaussian", functools.partial(PPO, **NORMALISED), "Pendulum-v1", 4),
    ("sac", functools.partial(algorithms.SAC, **SMALL_ACTOR_CRITIC), "Pendulum-v1", 4),
    ("sac-every-choice", functools.partial(algorithms.SAC, **SMALL_ACTOR_CRITIC | EVERY_SAC_CHOICE), "Pendulum-v1", 4),
    ("td3", functools.partial(algorithms.TD3, **SMALL_ACTOR_CRITIC, noise="ornstein-uhlenbeck"), "Pendulum-v1", 4),
    ("ddpg", functools.partial(algorithms.DDPG, **SMALL_ACTOR_CRITIC), "Pendulum-v1", 4),
    ("tqc", functools.partial(algorithms.TQC, **SMALL_ACTOR_CRITIC, quantiles=5), "Pendulum-v1", 4),
    ("discrete-sac", functools.partial(algorithms.DiscreteSAC, **SMALL_ACTOR_CRITIC), "toy/chain", 4),
    ("recurrent-ppo", RECURRENT, "toy/recall", 4),
    ("td", functools.partial(algorithms.TD, **SMALL, rule="sarsa", epsilon=0.3), "toy/chain", 4),
    ("gaussian-pg", functools.partial(POLICY_GRADIENT, **NORMALISED), "Pendulum-v1", 4),
    ("dqn-every-choice", functools.partial(algorithms.DQN, **EVERY_CHOICE), "toy/chain", 4),
    ("dqn-munchausen", functools.partial(algorithms.DQN, **SMALL_REPLAY, munchausen=True), "toy/chain", 4),
    ("c51", functools.partial(algorithms.C51, **SMALL_REPLAY | UNIT), "toy/chain", 4),
    ("qr-dqn", functools.partial(algorithms.QRDQN, **SMALL_REPLAY, quantiles=5), "toy/chain", 4),
    ("iqn", functools.partial(algorithms.IQN, **SMALL_REPLAY, fractions=4, target_fractions=3), "toy/chain", 4),
    ("rainbow", functools.partial(algorithms.Rainbow, **SMALL_REPLAY | UNIT), "toy/chain", 4),
]
FAST = {"ppo", "dqn"}

# Name, settings that learn fast, lanes, calls of the trainer's step: enough for the bandit and for the chain.
LEARNERS = [
    ("ppo", functools.partial(algorithms.PPO, learning_rate=1e-2, rollout_length=16, hidden_sizes=(16,)), 8, 40),
    ("a2c", functools.partial(algorithms.A2C, learning_rate=1e-2, rollout_length=16, hidden_sizes=(16,)), 8, 300),
    ("impala", functools.partial(algorithms.IMPALA, learning_rate=1e-2, rollout_length=16, hidden_sizes=(16,)), 8, 300),
    ("pqn", functools.partial(algorithms.PQN, learning_rate=1e-2, rollout_length=16, hidden_sizes=(16,)), 8, 100),
    (
        "reinforce",
        functools.partial(algorithms.REINFORCE, learning_rate=1e-2, rollout_length=32, hidden_sizes=(16,)), 8, 300,
    ),
    (
        "dqn",
        functools.partial(
            algorithms.DQN, learning_rate=1e-2, rollout_length=4, updates=2, batch_size=64, capacity=4000, warm_up=64,
            hidden_sizes=(16,), epsilon=0.5, target_period=20, discount=0.9,
        ),
        8,
        150,
    ),
]  # fmt: skip

# More of them, whose learned values other suites do not read.
VALUE_LEARNER = dict(
    learning_rate=1e-2, rollout_length=4, updates=2, batch_size=64, capacity=4000, warm_up=64, hidden_sizes=(16,),
    epsilon=0.5, target_period=20, discount=0.9,
)  # fmt: skip
SOFT_LEARNER = dict(
    actor_learning_rate=1e-2, critic_learning_rate=1e-2, rollout_length=4, updates=2, batch_size=64, capacity=4000,
    warm_up=64, hidden_sizes=(16,), discount=0.9, target_step=0.05, temperature=0.02, learn_temperature=False,
)  # fmt: skip
SLOW_LEARNERS = [
    ("td", functools.partial(algorithms.TD, learning_rate=3e-2, rollout_length=4, epsilon=0.5, discount=0.9), 8, 400),
    (
        "gaussian-pg",
        functools.partial(
            algorithms.PolicyGradient, learning_rate=1e-2, rollout_length=16, epochs=4, hidden_sizes=(16,)
        ),
        8,
        100,
    ),
    (
        "recurrent-ppo",
        functools.partial(algorithms.RecurrentPPO, learning_rate=1e-2, rollout_length=16, memory_size=16),
        8,
        40,
    ),
    ("dqn-munchausen", functools.partial(algorithms.DQN, **VALUE_LEARNER, munchausen=True), 8, 150),
    ("c51", functools.partial(algorithms.C51, **VALUE_LEARNER | UNIT), 8, 150),
    ("qr-dqn", functools.partial(algorithms.QRDQN, **VALUE_LEARNER, quantiles=5), 8, 150),
    ("iqn", functools.partial(algorithms.IQN, **VALUE_LEARNER, fractions=8, target_fractions=8), 8, 150),
    ("rainbow", functools.partial(algorithms.Rainbow, **VALUE_LEARNER | UNIT), 8, 150),
    ("discrete-sac", functools.partial(algorithms.DiscreteSAC, **SOFT_LEARNER), 8, 150),
]


def every_learner(test):
    """Gives a test every learner; those of the second list are slow."""
    all_learners = [*LEARNERS, *SLOW_LEARNERS]
    rows = [row if row[0] in FAST else pytest.param(*row, marks=pytest.mark.slow) for row in all_learners]
    names = [row[0] for row in all_learners]
    return pytest.mark.parametrize(("name", "factory", "lanes", "calls"), rows, ids=names)(test)


class Poisonable(laws.Around):
    """Another environment whose reward can be made NaN by a flag in its state, until the episode ends."""

    def own(self):
        return jnp.array(False)

    def step(self, state, action, *, key):
        inner, poisoned = state
        inner, step = self.inner.step(inner, action, key=key)
        return (inner, poisoned), dataclasses.replace(step, reward=jnp.where(poisoned, jnp.nan, step.reward))


class Row:
    """One algorithm and its compiled programs, each compiled when it is first needed."""

    def __init__(self, factory, environment, lanes):
        self.is_toy = environment.startswith("toy/")
        self.trainer = training.Trainer(factory(), Poisonable(envs.make(environment)), lanes)
        self.traces = []

    def _step(self, state):
        self.traces.append(1)
        return self.trainer.step(state)

    @functools.cached_property
    def init(self):
        return laws.fast_jit(self.trainer.init)

    @functools.cached_property
    def step(self):
        return laws.fast_jit(self._step)

    @functools.cached_property
    def chunk(self):
        chunk = functools.partial(training.train_chunk, self.trainer)
        return laws.fast_jit(lambda state, calls: chunk(state, calls), donate_argnums=0)

    @functools.cached_property
    def four_steps(self):
        """The states before, and after each of four steps."""
        states = [self.init(jax.random.key(0))]
        for _ in range(4):
            states.append(self.step(states[-1])[0])
        return states


@pytest.fixture(
    scope="module",
    params=[pytest.param(row, id=row[0], marks=() if row[0] in FAST else pytest.mark.slow) for row in TABLE],
)
def row(request):
    return Row(*request.param[1:])


def arrays(state):
    return eqx.filter(state.shared.algorithm, eqx.is_inexact_array)


def test_step_is_traced_once_and_types_are_a_fixpoint(row):
    states = row.four_steps
    assert len(row.traces) == 1
    for state in states[1:]:
        assert laws.avals(state) == laws.avals(states[0])
    # The four steps did learn, so what is compared below is not all the same.
    assert laws.largest_difference(arrays(states[-1]), arrays(states[0])) > 0


def test_types_of_the_first_state_are_strong(row):
    # A weak type does not survive a checkpoint: the resumed run would compile once more.
    assert not any(getattr(leaf, "weak_type", False) for leaf in jax.tree.leaves(row.four_steps[0]))


def test_every_local_leaf_leads_with_lanes(row):
    for leaf in jax.tree.leaves(row.four_steps[0].local):
        assert leaf.shape[0] == row.trainer.num_envs


def test_two_half_runs_equal_one_bit_for_bit(row):
    key = jax.random.key(0)
    whole, _ = row.chunk(row.init(key), 4)
    half, _ = row.chunk(row.init(key), 2)
    half, _ = row.chunk(through_the_host(half), 2)
    laws.assert_equal(half, whole)


def through_the_host(state):
    """Writes a state down as NumPy arrays and reads it back, as a checkpoint would."""
    is_key = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state)]
    leaves = jax.tree.leaves(laws.host(state))
    leaves = [
        jax.random.wrap_key_data(jnp.array(leaf)) if key else jnp.array(leaf)
        for leaf, key in zip(leaves, is_key, strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(state), leaves)


def test_donated_state_is_consumed_and_the_result_the_same(row):
    state = row.init(jax.random.key(0))
    after, _ = row.chunk(state, 4)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(arrays(state)))
    assert laws.largest_difference(arrays(after), arrays(row.four_steps[-1])) < 1e-6


def test_seeds_together_equal_seeds_alone_and_differ(row):
    keys = jax.random.split(jax.random.key(1), 3)
    init, step = laws.fast_jit(jax.vmap(row.trainer.init)), laws.fast_jit(jax.vmap(row.trainer.step))
    together = [init(keys)]
    for _ in range(3):
        together.append(step(together[-1])[0])
    for seed in range(3):
        state = row.init(keys[seed])
        for call, states in enumerate(together):
            mine = jax.tree.map(lambda leaf, seed=seed: leaf[seed], states)
            assert laws.largest_difference(arrays(state), arrays(mine)) < 1e-6
            if call < 2:  # the first actions are the same, and so is what they led to
                difference = laws.largest_difference(state.local.lanes, mine.local.lanes)
                assert difference < 1e-5
                laws.assert_equal(state.shared.key, mine.shared.key)
            state, _ = row.step(state)
    for states in (together[0], together[-1]):
        for tree in (arrays(states), jax.random.key_data(states.shared.key)):
            leaves = [np.asarray(leaf).reshape(3, -1) for leaf in jax.tree.leaves(tree)]
            assert len(np.unique(np.concatenate(leaves, axis=1), axis=0)) == 3


def test_two_devices_equal_one(row):
    step = laws.fast_jit(laws.on_devices(row.trainer.step))
    states, state = row.four_steps, laws.cut(row.four_steps[0], 2)
    for wanted in states[1:4]:
        state, _ = step(state)
        assert laws.largest_difference(arrays(state), arrays(wanted)) < 1e-6
        laws.assert_equal(state.shared.steps, wanted.shared.steps)


def test_nan_reward_never_poisons(row):
    state = row.four_steps[-1]
    lanes = state.local.lanes
    environment, poisoned = lanes.environment
    bad = dataclasses.replace(lanes, environment=(environment, poisoned.at[1:].set(True)))
    poisoned_state = training.TrainState(state.shared, training.Local(bad, state.local.kept))
    skipped = 0.0
    for _ in range(6):
        before, (poisoned_state, metrics) = poisoned_state, row.step(poisoned_state)
        skipped += float(metrics["skipped"].total)
        for leaf in jax.tree.leaves(arrays(poisoned_state)):
            assert np.isfinite(leaf).all()
    assert skipped > 0
    if row.is_toy:
        # The episode has ended and its NaN with it: learning goes on. A pendulum's episode lasts for 200 steps.
        assert laws.largest_difference(arrays(before), arrays(poisoned_state)) > 0


@pytest.mark.parametrize("edge", [2**31, 2**32])
def test_count_of_steps_is_right_past_the_edge(row, edge):
    start = row.four_steps[-1]
    before = edge - row.trainer.steps_per_call
    steps = type(start.shared.steps)(jnp.uint32(before >> 32), jnp.uint32(before & 0xFFFFFFFF))
    state = training.TrainState(dataclasses.replace(start.shared, steps=steps), start.local)
    for call in range(1, 3):
        state, _ = row.step(state)
        assert int(state.shared.steps) == before + call * row.trainer.steps_per_call
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(arrays(state)))


def test_evaluation_changes_nothing(row):
    state = row.four_steps[1]
    before = laws.host(state)
    run = laws.fast_jit(
        lambda state: training.evaluate(
            row.trainer.algorithm,
            row.trainer.environment,
            state.shared.algorithm,
            step=state.shared.steps.as_float(),
            key=jax.random.key(9),
            episodes=2,
            max_steps=12,
        )
    )
    laws.assert_equal(run(state), run(state))
    laws.assert_equal(state, before)
    laws.assert_equal(row.step(state)[0], row.four_steps[2])


def learn(factory, environment, lanes, calls):
    trainer = training.Trainer(factory(), environment, lanes)

    def run(key):
        state, _ = training.train_chunk(trainer, trainer.init(key), calls)
        return training.evaluate(
            trainer.algorithm,
            environment,
            state.shared.algorithm,
            step=state.shared.steps.as_float(),
            key=jax.random.key(8),
            episodes=64,
        )

    return laws.fast_jit(run)(jax.random.key(0))


@every_learner
def test_solves_the_bandit(name, factory, lanes, calls):
    episodes = learn(factory, envs.Bandit(), lanes, calls)
    np.testing.assert_array_equal(episodes.episode_return, np.ones(64))


@every_learner
def test_solves_the_chain(name, factory, lanes, calls):
    # Forward is best from everywhere: the goal is reached, and never later than from the far end without a halt.
    chain = envs.Chain(length=4)
    episodes = learn(factory, chain, lanes, calls)
    np.testing.assert_array_equal(episodes.episode_return, np.ones(64))
    forward = laws.fast_jit(
        lambda: training.evaluate(laws.Forward(1), chain, None, step=jnp.zeros(()), key=jax.random.key(8), episodes=64)
    )()
    np.testing.assert_array_equal(episodes.episode_length, forward.episode_length)
