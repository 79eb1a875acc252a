"""DQN: targets, the target network, exploration, and what a batch may bring."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import networks
from bellmax._core import Spaces
from bellmax.algorithms import DQN
from training import laws

OBSERVATION = kinds.Box(0.0, 1.0, (3,), np.float32)
SPACES = Spaces(OBSERVATION, kinds.Discrete(2))


@pytest.mark.parametrize("name", ["target_period", "rollout_length", "updates", "batch_size", "capacity", "warm_up"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"DQN: {name} must be at least 1; got 0"):
        DQN(**{name: 0})


def test_actions_that_are_not_discrete_are_refused():
    with pytest.raises(TypeError, match="actions must be Discrete"):
        DQN().init(Spaces(OBSERVATION, kinds.Box(0.0, 1.0, (1,), np.float32)), key=jax.random.key(0))


def test_only_termination_stops_the_bootstrap():
    laws.law_only_termination_stops_the_bootstrap(laws.REAL)


def test_double_q_selects_online_and_evaluates_target():
    laws.law_double_q_selects_online_and_evaluates_target(laws.REAL)


def test_target_moves_every_period():
    laws.law_target_moves_every_period(laws.REAL)


def test_target_is_a_copy():
    laws.law_target_is_a_copy(laws.REAL)


def test_exploration_follows_epsilon():
    laws.law_exploration_follows_epsilon(laws.REAL)


def test_evaluation_is_greedy():
    laws.law_evaluation_is_greedy(laws.REAL)


def update(dqn, state, batch, step=0.0):
    return dqn.update(state, batch, step=jnp.asarray(step), key=jax.random.key(0))


@pytest.mark.slow
def test_whole_move_makes_the_target_the_online_network():
    dqn = DQN(learning_rate=0.1, target_period=1, target_step=1.0)
    state, *_ = update(dqn, laws.dqn_state(dqn), laws.dqn_batch())
    np.testing.assert_allclose(state.target.values, state.online.values, rtol=1e-6)


def test_whole_move_is_exact():
    dqn = DQN(learning_rate=0.1, target_period=1, target_step=1.0)
    target = jnp.full((3, 2), 1e4 / 3)
    state = dataclasses.replace(laws.dqn_state(dqn), target=laws.Table(target))
    state, *_ = update(dqn, state, laws.dqn_batch())
    np.testing.assert_array_equal(state.target.values, state.online.values)


def test_gradient_step_moves_the_chosen_action_towards_its_target():
    dqn = DQN(learning_rate=1e-2, discount=0.5, double=False)
    state = laws.dqn_state(dqn)
    after, *_ = update(dqn, state, laws.dqn_batch())
    moved = np.asarray(after.online.values - state.online.values)
    # Errors by hand: Q(0,0) +4.5, Q(1,1) 0, Q(2,1) +2.5, Q(0,1) 0; nothing else was acted on.
    assert (np.sign(np.round(moved, 6)) == [[1, 0], [0, 0], [0, 1]]).all()


def test_huber_loss_by_hand():
    dqn = DQN(discount=0.5, double=False, huber_delta=3.0)
    _, metrics, _ = update(dqn, laws.dqn_state(dqn), laws.dqn_batch())
    # Errors 4.5, 0, 2.5, 0: 3·(4.5 − 1.5) = 9 and 2.5²/2 = 3.125, over four examples.
    np.testing.assert_allclose(float(metrics["loss"]), (9 + 3.125) / 4, rtol=1e-6)
    np.testing.assert_allclose(float(metrics["absolute_error"]), 7 / 4, rtol=1e-6)


def test_importance_weights_multiply_the_loss_and_divide_by_the_batch():
    dqn = DQN(discount=0.5, double=False, huber_delta=3.0)
    batch = dataclasses.replace(laws.dqn_batch(), weight=jnp.array([0.5, 1.0, 0.0, 1.0]))
    _, metrics, feedback = update(dqn, laws.dqn_state(dqn), batch)
    np.testing.assert_allclose(float(metrics["loss"]), 0.5 * 9 / 4, rtol=1e-6)
    np.testing.assert_allclose(feedback.priority, [4.5, 0.0, 2.5, 0.0], atol=1e-6)


def test_nan_reward_is_skipped():
    dqn = DQN(learning_rate=0.1)
    batch = laws.dqn_batch()
    reward = batch.transition.reward.at[2].set(jnp.nan)
    batch = dataclasses.replace(batch, transition=dataclasses.replace(batch.transition, reward=reward))
    state = laws.dqn_state(dqn)
    after, metrics, _ = update(dqn, state, batch)
    laws.assert_equal((after.online, after.optimiser), (state.online, state.optimiser))
    assert float(metrics["skipped"]) == 1


def test_learning_rate_is_read_in_environment_steps():
    dqn = DQN(learning_rate=lambda step: jnp.where(step < 100, 0.0, 1e-2))
    state = laws.dqn_state(dqn)
    run = laws.fast_jit(lambda step: update(dqn, state, laws.dqn_batch(), step)[0].online)
    assert laws.largest_difference(run(jnp.array(99.0)), state.online) == 0
    assert laws.largest_difference(run(jnp.array(100.0)), state.online) > 0


def test_hyperparameters_may_be_mapped():
    def train(rate, discount, step, delta, norm):
        dqn = DQN(
            learning_rate=rate, discount=discount, target_step=step, huber_delta=delta, max_gradient_norm=norm,
            target_period=2,
        )  # fmt: skip
        state = laws.dqn_state(dqn)
        for _ in range(2):
            state, *_ = update(dqn, state, laws.dqn_batch())
        return state.online, state.target

    values = jnp.array([(1e-3, 1e-2), (0.9, 0.5), (1.0, 0.1), (1.0, 2.0), (10.0, 0.1)])
    together = laws.fast_jit(jax.vmap(train))(*values)
    alone = laws.fast_jit(train)
    for i in range(2):
        assert laws.largest_difference(alone(*values[:, i]), jax.tree.map(lambda leaf, i=i: leaf[i], together)) < 1e-6
    for leaf in jax.tree.leaves(together):
        assert (np.asarray(leaf[0]) != np.asarray(leaf[1])).any()


def test_epsilon_may_be_mapped():
    def act(epsilon, key):
        dqn = DQN(epsilon=epsilon)
        return dqn.act(laws.dqn_state(dqn), jnp.eye(3)[0], None, step=jnp.zeros(()), key=key)[0]

    keys = jax.random.split(jax.random.key(0), 64)
    actions = np.asarray(jax.vmap(jax.vmap(act, (None, 0)), (0, None))(jnp.array([0.0, 1.0]), keys))
    assert (actions[0] == 1).all()
    assert 0 < (actions[1] == 0).mean() < 1


def test_own_network_is_used():
    def network(spaces, *, key):
        return networks.MLP(jnp.zeros(spaces.observation.shape), int(spaces.action.n), (5,), key=key)

    dqn = DQN(network=network)
    state = laws.fast_jit(lambda key: dqn.init(SPACES, key=key))(jax.random.key(0))
    assert state.online.layers[0].weight.shape == (5, 3)
    assert jax.tree.structure(state.online) == jax.tree.structure(state.target)
    after = laws.fast_jit(lambda state: update(dqn, state, laws.dqn_batch())[0])(state)
    assert laws.largest_difference(after.online, state.online) > 0


@pytest.mark.slow
@pytest.mark.parametrize("double", [False, True])
def test_own_network_is_masked_in_acting_and_in_targets(double):
    seen = []

    def network(spaces, *, key):
        def values(observation):
            seen.append(set(observation))
            return jnp.array([9.0, 2.0]) + observation["observation"][:2]

        return values

    dqn = DQN(network=network, discount=0.5, double=double, normalise_observations=True)
    space = kinds.Dict({"observation": OBSERVATION, "action_mask": kinds.MultiBinary(2)})
    state = dqn.init(Spaces(space, SPACES.action), key=jax.random.key(0))
    masked = {"observation": jnp.zeros((4, 3)), "action_mask": jnp.tile(jnp.array([0, 1], jnp.int8), (4, 1))}
    one = jax.tree.map(lambda leaf: leaf[0], masked)
    assert int(dqn.act(state, one, None, step=jnp.zeros(()), key=jax.random.key(0), explore=False)[0]) == 1
    batch = laws.dqn_batch()
    transition = dataclasses.replace(
        batch.transition,
        observation=masked,
        next_observation=masked,
        action=jnp.ones(4, int),
        reward=jnp.zeros(4),
        terminated=jnp.zeros(4, bool),
    )
    _, metrics, feedback = update(dqn, state, dataclasses.replace(batch, transition=transition))
    np.testing.assert_allclose(feedback.priority, 1.0)  # 0.5 · 2 − 2, not 0.5 · 9 − 2
    assert float(metrics["q"]) == 2
    assert seen[0] == {"observation", "action_mask"}


def test_seeds_give_different_networks():
    init = laws.fast_jit(jax.vmap(lambda key: DQN(hidden_sizes=(4,)).init(SPACES, key=key).online))
    networks = init(jax.random.split(jax.random.key(0), 3))
    weight = np.asarray(eqx.filter(networks, eqx.is_array).layers[0].weight)
    assert len(np.unique(weight.reshape(3, -1), axis=0)) == 3
