"""PPO: the laws that learning curves do not show."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import algorithms, networks
from bellmax._core import Spaces, _gradient
from bellmax.algorithms import DQN, PPO, TD, ActorCritic, Batch
from bellmax.policies import Categorical
from training import laws

KINDS = ["discrete", "gaussian"]
OBSERVATION = kinds.Box(-1.0, 1.0, (3,), np.float32)


@pytest.mark.parametrize("name", ["rollout_length", "epochs", "minibatches"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"PPO: {name} must be at least 1; got 0"):
        PPO(**{name: 0})


@pytest.mark.parametrize(
    "action",
    [kinds.Text(3), kinds.Box(0.0, 1.0, (), np.float32), kinds.Box(0.0, 1.0, (2, 2), np.float32)],
)
def test_actions_without_a_default_policy_are_refused(action):
    with pytest.raises(TypeError, match="actions must be Discrete, MultiDiscrete, MultiBinary or a Box with one axis"):
        PPO().init(Spaces(OBSERVATION, action), key=jax.random.key(0))


def test_unknown_activation_is_answered_with_the_list():
    with pytest.raises(ValueError, match=r"activation must be one of tanh, relu.*got 'swish2'"):
        PPO(activation="swish2").init(Spaces(OBSERVATION, kinds.Discrete(2)), key=jax.random.key(0))


def test_advantages_respect_episode_ends():
    laws.law_advantages_respect_episode_ends(laws.REAL)


def test_future_of_another_episode_is_invisible():
    laws.law_future_of_another_episode_is_invisible(laws.REAL)


def test_shuffle_takes_every_step_once_an_epoch():
    laws.law_shuffle_takes_every_step_once_an_epoch(laws.REAL)


def test_shuffle_mixes_time():
    laws.law_shuffle_mixes_time(laws.REAL)


def test_shuffle_differs_between_epochs():
    laws.law_shuffle_differs_between_epochs(laws.REAL)


def test_shuffle_does_not_depend_on_devices():
    ppo = PPO(rollout_length=8, epochs=2, minibatches=2)
    whole = laws._order(ppo, 4).reshape(2, 8, 4) // 4
    shuffle = jax.vmap(lambda _: ppo._shuffle(ppo.rollout_length, 2, jax.random.key(0), "devices"), axis_name="devices")
    spread = np.asarray(laws.fast_jit(shuffle)(jnp.arange(2))).reshape(2, 2, 8, 2) // 2
    np.testing.assert_array_equal(np.concatenate(list(spread), axis=-1), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_entropy_bonus_raises_entropy(kind):
    laws.law_entropy_bonus_raises_entropy(laws.REAL, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_first_ratio_is_one(kind):
    laws.law_first_ratio_is_one(laws.REAL, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_log_prob_is_of_the_stored_action(kind):
    laws.law_log_prob_is_of_the_stored_action(laws.REAL, kind)


def test_advantages_are_normalised_over_all_devices():
    laws.law_advantages_are_normalised_over_all_devices(laws.REAL)


def test_nan_reward_is_skipped():
    laws.law_nan_reward_is_skipped(laws.REAL)


def test_nan_reward_spoils_only_its_own_minibatch():
    # Two minibatches an epoch: the one without the NaN still moves the parameters.
    ppo = PPO(rollout_length=4, epochs=1, minibatches=2, gae_lambda=0.0)
    transition = laws.rollout(4, 2, ends=False)
    transition = dataclasses.replace(transition, reward=transition.reward.at[1, 0].set(jnp.nan))
    model = laws.linear_model()
    state, metrics = laws.one_update(ppo, model, transition)
    assert float(metrics["skipped"]) == 0.5
    assert np.isfinite(laws.largest_difference(state.model, model))
    assert laws.largest_difference(state.model, model) > 0


def test_update_follows_the_advantage():
    # The one action that paid becomes likelier, the others less likely.
    ppo = PPO(learning_rate=0.05, entropy_coefficient=0.0, rollout_length=4, epochs=1, minibatches=1)
    model, transition = laws.linear_model(), laws.rollout(4, 2)
    better = transition.action == 1
    transition = dataclasses.replace(
        transition, reward=better.astype(float), terminated=jnp.ones((4, 2), bool), truncated=jnp.zeros((4, 2), bool)
    )
    model = eqx.tree_at(lambda model: model.critic.weight, model, jnp.zeros(laws.FEATURES))
    state, _ = laws.one_update(ppo, model, transition)

    def likelihood(model):
        return jnp.mean(jax.vmap(lambda o: model.actor(o).probs[1])(transition.observation.reshape(-1, laws.FEATURES)))

    assert float(likelihood(state.model)) > float(likelihood(model)) + 1e-3


def test_value_moves_towards_the_target():
    ppo = PPO(learning_rate=0.05, rollout_length=4, epochs=8, minibatches=1, value_clip=False, max_gradient_norm=1e9)
    model, transition = laws.linear_model(), laws.rollout(4, 2)
    # Every step ends, so the target is the reward and nothing else.
    transition = dataclasses.replace(transition, terminated=jnp.ones((4, 2), bool))
    state, _ = laws.one_update(ppo, model, transition)

    def distance(model):
        return float(jnp.mean(jnp.square(transition.observation @ model.critic.weight - transition.reward)))

    assert distance(state.model) < 0.8 * distance(model)


def test_without_exploration_the_mode_is_taken():
    observation = jnp.array([0.3, -1.0, 0.5])
    for kind in KINDS:
        ppo, model = PPO(), laws.linear_model(kind)
        state = laws._ppo_state(ppo, model)
        keys = jax.random.split(jax.random.key(0), 32)
        act = jax.vmap(
            lambda key, explore, ppo=ppo, state=state: ppo.act(
                state, observation, None, step=jnp.zeros(()), key=key, explore=explore
            )[0],
            (0, None),
        )
        mode = np.asarray(act(keys, False))
        assert (mode == mode[0]).all()
        output = np.asarray(model.actor.network(observation))
        np.testing.assert_allclose(mode[0], output.argmax() if kind == "discrete" else output, rtol=1e-6)
        assert len(np.unique(np.asarray(act(keys, True)))) > 1


def test_learning_rate_is_read_in_environment_steps():
    ppo = PPO(learning_rate=lambda step: jnp.where(step < 100, 0.0, 1e-2), rollout_length=4, epochs=1, minibatches=1)
    model, transition = laws.linear_model(), laws.rollout(4, 2)
    state = laws._ppo_state(ppo, model)
    update = laws.fast_jit(lambda step: ppo.update(state, Batch(transition), step=step, key=jax.random.key(0))[0].model)
    assert laws.largest_difference(update(jnp.array(99.0)), model) == 0
    assert laws.largest_difference(update(jnp.array(100.0)), model) > 0


def test_hyperparameters_may_be_mapped():
    transition = laws.rollout(4, 2)
    model = laws.linear_model()

    def train(rate, discount, lambda_, clip, entropy, norm):
        ppo = PPO(
            learning_rate=rate, discount=discount, gae_lambda=lambda_, clip_epsilon=clip, value_clip_epsilon=clip,
            entropy_coefficient=entropy, max_gradient_norm=norm, rollout_length=4, epochs=2, minibatches=2,
        )  # fmt: skip
        state = laws._ppo_state(ppo, model)
        return ppo.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(0))[0].model

    columns = [(1e-3, 1e-2), (0.9, 0.99), (0.5, 0.95), (0.1, 0.3), (0.0, 0.1), (0.5, 10.0)]
    values = jnp.array(columns)
    together = laws.fast_jit(jax.vmap(train))(*values)
    alone = laws.fast_jit(train)
    for i in range(2):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], eqx.filter(together, eqx.is_array))
        assert laws.largest_difference(alone(*values[:, i]), one) < 1e-6
    moved = eqx.filter(together, eqx.is_inexact_array)
    assert all((np.asarray(leaf[0]) != np.asarray(leaf[1])).any() for leaf in jax.tree.leaves(moved))


def test_own_network_is_used():
    def network(spaces, *, key):
        zeros = jnp.zeros(spaces.observation.shape)
        return ActorCritic(
            Categorical(networks.MLP(zeros, int(spaces.action.n), (5,), key=key)),
            laws.LinearValue(jnp.zeros(3)),
        )

    ppo = PPO(network=network, rollout_length=4, minibatches=1)
    init = laws.fast_jit(lambda key: ppo.init(Spaces(OBSERVATION, kinds.Discrete(2)), key=key))
    state = init(jax.random.key(0))
    assert state.model.actor.network.layers[0].weight.shape == (5, 3)
    batch = Batch(laws.rollout(4, 2))
    state, _, _ = laws.fast_jit(lambda state: ppo.update(state, batch, step=jnp.zeros(()), key=jax.random.key(0)))(
        state
    )
    assert isinstance(state.model.critic, laws.LinearValue)


def test_gradient_in_blocks_is_the_gradient(monkeypatch):
    # 2 lanes of 512 steps make one minibatch of 1024, which a CPU cuts into four.
    ppo = PPO(learning_rate=1e-2, rollout_length=512, epochs=1, minibatches=1)
    model, transition = laws.linear_model(), laws.rollout(512, 2)
    blocks = []
    monkeypatch.setattr(_gradient, "_blocks", lambda n, real=_gradient._blocks: blocks.append(real(n)) or blocks[-1])
    cut, metrics = laws.one_update(ppo, model, transition)
    assert blocks == [4]
    monkeypatch.setattr(_gradient, "_blocks", lambda n: 1)
    whole, same_metrics = laws.one_update(ppo, model, transition)
    assert laws.largest_difference(cut.model, whole.model) < 1e-6
    assert laws.largest_difference(metrics, same_metrics) < 1e-4


def test_observation_may_be_a_tree():
    space = kinds.Dict({"a": kinds.Box(-1.0, 1.0, (2,), np.float32), "b": kinds.Discrete(3)})
    ppo = PPO(rollout_length=2, minibatches=1, epochs=1, hidden_sizes=(4,))
    state = jax.eval_shape(lambda key: ppo.init(Spaces(space, kinds.Discrete(2)), key=key), jax.random.key(0))
    observation = {"a": jnp.ones((2, 3, 2)), "b": jnp.ones((2, 3), jnp.int32)}
    zeros, no = jnp.zeros((2, 3)), jnp.zeros((2, 3), bool)
    transition = algorithms.Transition(observation, no.astype(jnp.int32), zeros, observation, no, no)
    _, metrics, _ = jax.eval_shape(
        lambda state: ppo.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(0)), state
    )
    assert metrics["value_loss"].shape == ()


def test_gradients_are_not_shortened_to_a_negative_length():
    for make in (PPO, DQN, TD):
        with pytest.raises(ValueError, match=f"{make.__name__}: max_gradient_norm must not be negative"):
            make(max_gradient_norm=-1.0)
