"""Blocks of the on-policy algorithms: minibatches, and actor-critics that share a network."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax._core import Spaces
from bellmax.algorithms import A2C, IMPALA, PPO, PQN, REINFORCE, Batch, SharedActorCritic
from bellmax.algorithms._rollouts import minibatch_order
from training import laws

FLAT = kinds.Box(-1.0, 1.0, (3,), np.float32)


def order(length, lanes, epochs, minibatches, axis_name=None, seed=0):
    cut = functools.partial(minibatch_order, length, lanes, epochs, minibatches, axis_name=axis_name)
    return laws.fast_jit(lambda key: cut(key=key))(jax.random.key(seed))


@pytest.mark.parametrize(("length", "lanes", "minibatches", "groups"), [(5, 32, 32, 32), (6, 8, 4, 2), (4, 4, 8, 2)])
def test_lanes_are_divided_where_time_is_not_enough(length, lanes, minibatches, groups):
    epochs = 3
    found = np.asarray(order(length, lanes, epochs, minibatches)).reshape(epochs, minibatches, -1)
    assert found.shape[-1] == length * lanes // minibatches
    for epoch in found:
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(length * lanes))
        for minibatch in epoch:
            times = np.bincount(minibatch % lanes, minlength=lanes)
            assert set(times) <= {0, length * groups // minibatches}
            # Of each run of neighbours exactly one is there.
            np.testing.assert_array_equal((times > 0).reshape(-1, groups).sum(1), np.ones(lanes // groups))
    assert (found[0] != found[1]).any()
    together = {frozenset(minibatch % lanes) for epoch in found for minibatch in epoch}
    assert len(together) > groups or lanes == groups, "the groups are the same in every epoch"
    if length > minibatches // groups and lanes > groups:
        times = found[0, 0].reshape(-1, lanes // groups) // lanes
        assert (times[:, 0] != times[:, 1]).any(), "lanes share their order of time"


def test_minibatches_of_lanes_do_not_depend_on_devices():
    length, lanes, epochs, minibatches = 3, 8, 2, 6
    whole = np.asarray(order(length, lanes, epochs, minibatches))
    key = jax.random.key(0)
    cut = functools.partial(minibatch_order, length, lanes // 2, epochs, minibatches, key, "devices")
    spread = np.asarray(laws.fast_jit(jax.vmap(lambda _: cut(), axis_name="devices"))(jnp.arange(2)))
    for number, minibatch in enumerate(whole):
        joined = [
            index // 4 * lanes + index % 4 + 4 * device for device in range(2) for index in spread[device, number]
        ]
        assert sorted(joined) == sorted(minibatch)


def test_minibatches_that_fit_neither_time_nor_lanes_are_refused():
    with pytest.raises(ValueError, match="3 minibatches of a rollout of 8 steps divide the lanes of a device by 3; th"):
        minibatch_order(8, 4, 1, 3, jax.random.key(0), None)


@pytest.mark.parametrize("kind", [A2C, IMPALA, PPO, PQN, REINFORCE])
def test_batches_that_are_no_whole_rollouts_are_refused(kind):
    batch = Batch(laws.rollout(4, 2), mask=jnp.ones((4, 2), bool))
    with pytest.raises(ValueError, match=f"{kind.__name__} learns from whole rollouts of its own"):
        kind(rollout_length=4).update(None, batch, step=jnp.zeros(()), key=jax.random.key(0))


@pytest.mark.parametrize("kind", [A2C, IMPALA, PPO, PQN, REINFORCE])
def test_sizes_and_ranges_are_checked(kind):
    with pytest.raises(ValueError, match="must be at least 1"):
        kind(rollout_length=0)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\]"):
        kind(discount=1.5)


# ------------------------------------------------------------------------------------------------ shared networks


def shared(action, observation=FLAT):
    """Makes PPO and its state, policy and value out of one network."""
    ppo = PPO(shared_torso=True, hidden_sizes=(16, 8), rollout_length=4, epochs=1, minibatches=1)
    return ppo, laws.fast_jit(lambda key: ppo.init(Spaces(observation, action), key=key))(jax.random.key(0))


@pytest.mark.parametrize("action", [kinds.Discrete(3), FLAT], ids=["discrete", "box"])
def test_shared_network_gives_the_policy_and_the_value(action):
    _, state = shared(action)
    model, observation = state.model, jnp.array([0.3, -1.0, 0.5])
    assert isinstance(model, SharedActorCritic)
    pi, value = model(observation)
    outputs = np.asarray(model.network(observation))
    assert float(value) == outputs[-1] == float(model.critic(observation))
    alone = model.actor(observation)
    if isinstance(action, kinds.Discrete):
        wanted = np.exp(outputs[:-1]) / np.exp(outputs[:-1]).sum()
        np.testing.assert_allclose(pi.probs, wanted, rtol=1e-5)
        np.testing.assert_array_equal(alone.probs, pi.probs)
    else:
        np.testing.assert_array_equal(pi.mu, outputs[:-1])
        np.testing.assert_array_equal(alone.mu, pi.mu)
    # The policy starts small, the value does not.
    gains = np.linalg.norm(np.asarray(model.network.layers[-1].weight), axis=1)
    np.testing.assert_allclose(gains, [0.01, 0.01, 0.01, 1.0], rtol=1e-5)


def test_shared_network_applies_the_mask():
    masked = kinds.Dict({"observation": FLAT, "action_mask": kinds.MultiBinary(3)})
    _, state = shared(kinds.Discrete(3), masked)
    observation = {"observation": jnp.ones(3), "action_mask": jnp.array([1, 0, 1], jnp.int8)}
    pi, _ = state.model(observation)
    assert float(pi.prob(jnp.array(1))) == 0
    assert float(state.model.actor(observation).prob(jnp.array(1))) == 0


def test_gradients_of_both_losses_reach_a_shared_torso():
    ppo, state = shared(kinds.Discrete(2))
    samples = ppo._evaluate(state.model, Batch(laws.rollout(4, 2)))
    for settings in ({"value_coefficient": 0.0}, {"value_coefficient": 1e3}):
        loss = functools.partial(dataclasses.replace(ppo, **settings)._loss, 0.2, None)
        slope = eqx.filter_grad(lambda model, loss=loss: loss(model, samples)[0])
        gradient = laws.fast_jit(lambda model, slope=slope: slope(model))(state.model)
        first = np.abs(np.asarray(gradient.network.layers[0].weight)).max()
        assert (1e-6 < first < 1) if not settings["value_coefficient"] else first > 1
