"""Default networks serve every kind of space, in training too."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import envs, training
from bellmax._core import Spaces, example
from bellmax.algorithms import DQN, PPO
from bellmax.envs import Step
from bellmax.networks import MLP
from bellmax.policies import Categorical, Gaussian
from training.laws import avals, fast_jit

FLAT = kinds.Box(-1.0, 1.0, (3,), np.float32)
MINATAR = kinds.Box(0.0, 1.0, (10, 10, 4), np.float32)
OBSERVATIONS = {
    "flat": FLAT,
    "image": MINATAR,
    "bytes": kinds.Box(0, 255, (36, 36, 1), np.uint8),
    "discrete": kinds.Discrete(4),
    "multi-discrete": kinds.MultiDiscrete([2, 3]),
    "multi-binary": kinds.MultiBinary(3),
    "dict": kinds.Dict({"x": FLAT, "image": MINATAR, "n": kinds.Tuple((kinds.Discrete(2), FLAT))}),
}
ACTIONS = {
    "discrete": kinds.Discrete(3),
    "box": FLAT,
    "multi-discrete": kinds.MultiDiscrete([2, 3]),
    "multi-binary": kinds.MultiBinary(3),
    "dict": kinds.Dict({"wheel": FLAT, "gear": kinds.Discrete(3), "lamps": kinds.Tuple((kinds.MultiBinary(2),))}),
}


class Anything(envs.AbstractEnvironment):
    """Shows zeros of a space, takes actions of another, ends after three steps."""

    observation: kinds.Space = eqx.field(static=True)
    action: kinds.Space = eqx.field(static=True)

    @property
    def spaces(self):
        return Spaces(self.observation, self.action)

    def _show(self, time):
        shown = example(self.observation)
        if isinstance(shown, dict) and "action_mask" in shown:
            # The first action is legal at even times, the last always.
            shown["action_mask"] = shown["action_mask"].at[0].set((time % 2 == 0).astype(jnp.int8)).at[-1].set(1)
        return shown

    def reset(self, *, key):
        del key
        time = jnp.zeros((), jnp.int32)
        return time, self._show(time)

    def step(self, state, action, *, key):
        del key
        assert avals(action)[0] == avals(example(self.action))[0]
        time = state + 1
        reward = sum(jnp.sum(leaf).astype(float) for leaf in jax.tree.leaves(action))
        return time, Step(self._show(time), reward, time >= 3, jnp.array(False))


def small(kind, **settings):
    if kind is PPO:
        return PPO(rollout_length=4, minibatches=2, epochs=1, hidden_sizes=(4,), **settings)
    return DQN(rollout_length=4, batch_size=4, capacity=64, warm_up=8, hidden_sizes=(4,), **settings)


def trained(algorithm, spaces, calls=1):
    trainer = training.Trainer(algorithm, Anything(*spaces), 2)
    state = fast_jit(trainer.init)(jax.random.key(0))
    step = fast_jit(trainer.step)
    for _ in range(calls):
        before, (state, metrics) = state, step(state)
    return before, state, metrics


@pytest.mark.parametrize("kind", [PPO, DQN])
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_types_hold_for_every_kind_of_observation(kind, observation):
    trainer = training.Trainer(small(kind), Anything(OBSERVATIONS[observation], kinds.Discrete(3)), 2)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    after, _ = jax.eval_shape(trainer.step, state)
    assert avals(after) == avals(state)


@pytest.mark.parametrize("action", ACTIONS)
def test_types_hold_for_every_kind_of_action(action):
    trainer = training.Trainer(small(PPO), Anything(FLAT, ACTIONS[action]), 2)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    after, _ = jax.eval_shape(trainer.step, state)
    assert avals(after) == avals(state)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(PPO, marks=pytest.mark.slow), DQN])
def test_learns_from_a_dict(kind):
    space = kinds.Dict({"x": FLAT, "n": kinds.Tuple((kinds.Discrete(2), kinds.MultiBinary(2)))})
    before, after, metrics = trained(small(kind), (space, kinds.Discrete(3)), calls=3)
    models = [
        state.shared.algorithm.model if kind is PPO else state.shared.algorithm.online for state in (before, after)
    ]
    leaves = zip(*(jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in models), strict=True)
    changed = [np.any(np.asarray(old) != np.asarray(new)) for old, new in leaves]
    assert any(changed)
    assert all(np.isfinite(mean.value) for name, mean in metrics.items() if "loss" in name)


@pytest.mark.slow
def test_learns_with_a_dict_of_actions():
    before, after, metrics = trained(small(PPO), (FLAT, ACTIONS["dict"]))
    head = [state.shared.algorithm.model.actor.head.heads["wheel"].logvar for state in (before, after)]
    assert np.all(head[0] != head[1])
    assert np.isfinite(metrics["policy_loss"].value)
    assert float(metrics["skipped"].value) == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_sampled_actions_belong_to_the_space_and_their_probability_is_known(action):
    space = ACTIONS[action]

    @fast_jit
    def act(key):
        state = small(PPO).init(Spaces(FLAT, space), key=jax.random.key(0))
        action, _, _ = small(PPO).act(state, jnp.ones(3), None, step=jnp.zeros(()), key=key)
        mode, _, _ = small(PPO).act(state, jnp.ones(3), None, step=jnp.zeros(()), key=key, explore=False)
        pi = state.model.actor(jnp.ones(3))
        return action, mode, pi.log_prob(action), pi.entropy()

    sampled, mode, log_prob, entropy = act(jax.random.key(1))
    for one in (sampled, mode):
        assert avals(one)[0] == avals(example(space))[0]
        if action not in ("box", "dict"):  # a Gaussian has no bounds: the trainer clips
            assert space.contains(np.asarray(one))
    assert log_prob.shape == entropy.shape == ()
    assert np.isfinite(log_prob)


@pytest.mark.slow
def test_flat_boxes_keep_the_networks_that_they_had():
    for space, policy in ((kinds.Discrete(3), Categorical), (FLAT, Gaussian)):
        key = jax.random.key(0)
        model = small(PPO).init(Spaces(FLAT, space), key=key).model
        actor_key, critic_key = jax.random.split(key)
        assert type(model.actor) is policy
        assert eqx.tree_equal(model.actor.network, MLP(jnp.zeros(3), 3, (4,), last_scale=0.01, key=actor_key))
        assert eqx.tree_equal(model.critic.network, MLP(jnp.zeros(3), 1, (4,), key=critic_key))
    online = small(DQN).init(Spaces(FLAT, kinds.Discrete(3)), key=key).online
    expected = MLP(jnp.zeros(3), 3, (4,), activation=jax.nn.relu, orthogonal=False, key=key)
    assert eqx.tree_equal(online, expected)


def masked(space, actions):
    return kinds.Dict({"observation": space, "action_mask": kinds.MultiBinary(actions)})


@pytest.mark.slow
def test_ppo_samples_and_scores_legal_actions_only():
    for action, legal in ((kinds.Discrete(3), [0, 1, 1]), (kinds.MultiDiscrete([2, 3]), [0, 1, 1, 0, 1])):
        observation = {"observation": jnp.ones(3), "action_mask": jnp.array(legal, jnp.int8)}
        spaces = Spaces(masked(FLAT, len(legal)), action)
        state = fast_jit(lambda key, spaces=spaces: small(PPO).init(spaces, key=key))(jax.random.key(0))
        pi = state.model.actor(observation)
        drawn = np.asarray(pi.sample(seed=jax.random.key(0), sample_shape=(100,)))
        if action == kinds.Discrete(3):
            assert set(drawn.tolist()) == {1, 2}
            assert pi.log_prob(jnp.array(0)) == -np.inf
        else:
            assert set(map(tuple, drawn.tolist())) == {(1, 0), (1, 2)}
        assert state.model.critic(observation).shape == ()


def test_dqn_takes_and_values_legal_actions_only():
    spaces = Spaces(masked(FLAT, 3), kinds.Discrete(3))
    dqn = small(DQN, epsilon=1.0)
    state = fast_jit(lambda key: dqn.init(spaces, key=key))(jax.random.key(0))
    observation = {"observation": jnp.ones(3), "action_mask": jnp.array([0, 1, 1], jnp.int8)}

    def act(key):
        return dqn.act(state, observation, None, step=jnp.zeros(()), key=key)[0]

    assert set(jax.vmap(act)(jax.random.split(jax.random.key(0), 100)).tolist()) == {1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PPO, pytest.param(DQN, marks=pytest.mark.slow)])
def test_masks_hold_in_training(kind):
    before, after, metrics = trained(small(kind), (masked(FLAT, 3), kinds.Discrete(3)), calls=3)
    assert avals(after) == avals(before)
    assert all(np.isfinite(mean.value) for name, mean in metrics.items() if "loss" in name)
    assert float(metrics["skipped"].value) == 0


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        (Spaces(masked(FLAT, 3), FLAT), "an action mask needs Discrete or MultiDiscrete actions"),
        (Spaces(masked(FLAT, 2), kinds.Discrete(3)), r"has shape \(3,\)"),
        (Spaces(FLAT, kinds.Discrete(3, start=1)), "must count from 0"),
        (Spaces(FLAT, kinds.MultiDiscrete([2, 3], start=[0, 1])), "must count from 0"),
        (Spaces(FLAT, kinds.Dict({})), "actions must be"),
        (Spaces(FLAT, kinds.Dict({"a": kinds.Box(0.0, 1.0, (2, 2), np.float32)})), "a Box with one axis"),
        (Spaces(FLAT, kinds.MultiBinary((2, 2))), "actions must be"),
    ],
)
def test_actions_that_no_head_serves_are_refused(spaces, message):
    with pytest.raises(TypeError, match=message):
        small(PPO).init(spaces, key=jax.random.key(0))


def test_dqn_refuses_what_is_not_discrete():
    with pytest.raises(TypeError, match="actions must be Discrete; got MultiDiscrete"):
        small(DQN).init(Spaces(FLAT, kinds.MultiDiscrete([2, 3])), key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"has shape \(3,\)"):
        small(DQN).init(Spaces(masked(FLAT, 2), kinds.Discrete(3)), key=jax.random.key(0))
