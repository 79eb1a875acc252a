"""Observations are normalised by moments that live in the algorithm's state."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import envs, training
from bellmax._core import Spaces
from bellmax.algorithms import DQN, PPO, Batch, Transition
from bellmax.losses import clipped_value_loss
from training.laws import avals, fast_jit

MIXED = kinds.Dict(
    {
        "x": kinds.Box(-np.inf, np.inf, (3,), np.float32),
        "n": kinds.Discrete(4),
        "y": kinds.Box(-1.0, 1.0, (), np.float32),
    }
)
SPACES = Spaces(MIXED, kinds.Discrete(2))


def small(kind, **settings):
    if kind is PPO:
        return PPO(rollout_length=8, minibatches=2, epochs=1, hidden_sizes=(4,), **settings)
    return DQN(rollout_length=4, batch_size=4, capacity=64, warm_up=8, hidden_sizes=(4,), **settings)


def batch(kind, seed=0, lanes=4):
    """Random transitions, of numbers that have a mean of 50 and a deviation of 3, 6 and 9."""
    shape = (8, lanes) if kind is PPO else (8 * lanes,)
    rng = np.random.default_rng(seed)

    def observation():
        x = 50 + 3 * np.arange(1, 4) * rng.normal(size=(*shape, 3))
        n, y = rng.integers(0, 4, shape), rng.normal(size=shape)
        return {"x": jnp.asarray(x, jnp.float32), "n": jnp.asarray(n, jnp.int32), "y": jnp.asarray(y, jnp.float32)}

    reward, action = jnp.asarray(rng.normal(size=shape), jnp.float32), jnp.asarray(rng.integers(0, 2, shape))
    never = jnp.zeros(shape, bool)
    return Batch(Transition(observation(), action, reward, observation(), never, never))


@functools.cache
def learner(kind):
    """Returns an algorithm that learns nothing but moments, its first state and its compiled update."""
    algorithm = small(kind, normalise_observations=True, learning_rate=0.0)
    state = fast_jit(lambda key: algorithm.init(SPACES, key=key))(jax.random.key(0))

    @fast_jit
    def update(state, batch):
        return algorithm.update(state, batch, step=jnp.zeros(()), key=jax.random.key(1))

    return algorithm, state, update


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_moments_are_those_of_all_observations_and_the_state_keeps_its_types(kind):
    _, state, update = learner(kind)
    seen = [batch(kind, seed) for seed in (0, 1)]
    spoilt = seen[1].transition.observation["x"]
    spoilt = spoilt.at[(0,) * (spoilt.ndim - 2) + (0, 1)].set(jnp.nan)
    after = state
    for one in seen:
        after, _, _ = update(after, one)
    assert avals(after) == avals(state)
    x = np.concatenate([np.asarray(one.transition.observation["x"], np.float64).reshape(-1, 3) for one in seen])
    np.testing.assert_allclose(after.moments.mean["x"], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(after.moments.variance["x"], x.var(0), rtol=1e-4)
    assert int(after.moments.count) == 64
    # One that is not finite does not count.
    observation = seen[1].transition.observation | {"x": spoilt}
    poisoned, _, _ = update(after, Batch(dataclasses.replace(seen[1].transition, observation=observation)))
    assert int(poisoned.moments.count) == 64 + 31
    assert np.isfinite(poisoned.moments.mean["x"]).all()


@pytest.mark.parametrize("x", [[40.0, 50.0, 70.0], [1e6, -1e6, 50.0]])
def test_acting_sees_normalised_numbers_clipped_at_ten_and_choices_as_they_are(x):
    shown = []

    def network(spaces, *, key):
        del spaces, key
        return lambda observation: shown.append(observation) or jnp.zeros(2)

    algorithm = small(DQN, normalise_observations=True, network=network)
    _, state, update = learner(DQN)
    moments = update(state, batch(DQN))[0].moments
    state = dataclasses.replace(algorithm.init(SPACES, key=jax.random.key(0)), moments=moments)
    observation = {"x": jnp.array(x), "n": jnp.array(2), "y": jnp.array(0.5)}
    for explore in (True, False):
        algorithm.act(state, observation, None, step=jnp.zeros(()), key=jax.random.key(0), explore=explore)
        by_hand = (np.asarray(x) - np.asarray(moments.mean["x"])) / np.sqrt(moments.variance["x"])
        np.testing.assert_allclose(shown[-1]["x"], np.clip(by_hand, -10, 10), rtol=1e-4, atol=1e-5)
        assert int(shown[-1]["n"]) == 2


def by_hand(moments, transition):
    """Normalises transitions in NumPy."""

    def normalised(seen):
        changed = {
            name: (np.asarray(seen[name]) - np.asarray(moments.mean[name])) / np.sqrt(moments.variance[name])
            for name in ("x", "y")
        }
        return seen | {name: jnp.asarray(x, jnp.float32) for name, x in changed.items()}

    seen, following = normalised(transition.observation), normalised(transition.next_observation)
    return dataclasses.replace(transition, observation=seen, next_observation=following)


def test_replayed_batch_is_seen_by_the_moments_that_the_policy_acted_by():
    _, fresh, update = learner(DQN)
    state, _, _ = update(fresh, batch(DQN, 0))
    after, metrics, _ = update(state, batch(DQN, 1))
    assert not np.allclose(after.moments.mean["x"], state.moments.mean["x"])
    # Moments of nothing change nothing: the same update of what was normalised before by those of the first batch.
    _, expected, _ = update(fresh, Batch(by_hand(state.moments, batch(DQN, 1).transition)))
    for name in ("loss", "q"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-4)


def test_rollout_is_judged_by_the_moments_of_then_and_learned_from_by_the_new():
    algorithm, fresh, update = learner(PPO)
    state, _, _ = update(fresh, batch(PPO, 0))
    given = batch(PPO, 1)
    after, metrics, _ = update(state, given)
    judged = algorithm._evaluate(state.model, Batch(by_hand(state.moments, given.transition)))
    seen = by_hand(after.moments, given.transition).observation
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), seen)
    value = jax.vmap(state.model.critic)(flat)
    by_both, by_one = (
        clipped_value_loss(each, judged.target, judged.value, epsilon=0.2).mean() for each in (value, judged.value)
    )
    np.testing.assert_allclose(metrics["value_loss"], by_both, rtol=1e-4)
    assert abs(by_one / by_both - 1) > 1e-2


def test_scale_and_origin_of_observations_do_not_matter():
    # In other units the second update, normalised by the first batch's moments, is the same.
    _, state, update = learner(PPO)
    results = []
    for scale, origin in ((1.0, 0.0), (8.0, 64.0)):
        one = state
        for seed in (0, 1):
            given = batch(PPO, seed).transition
            changed = {}
            for name in ("observation", "next_observation"):
                seen = getattr(given, name)
                changed[name] = seen | {"x": scale * seen["x"] + origin}
            one, metrics, _ = update(one, Batch(dataclasses.replace(given, **changed)))
        results.append(metrics)
    for name in ("value_loss", "policy_loss", "entropy"):
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [pytest.param(PPO, marks=pytest.mark.slow), DQN])
def test_moments_are_merged_over_devices(kind):
    algorithm, state, update = learner(kind)
    whole = batch(kind)
    axis = 1 if kind is PPO else 0
    halves = jax.tree.map(lambda leaf: jnp.stack(jnp.split(leaf, 2, axis)), whole)

    def update_half(batch):
        return algorithm.update(state, batch, step=jnp.zeros(()), key=jax.random.key(1), axis_name="devices")[0].moments

    moments = fast_jit(jax.vmap(update_half, axis_name="devices"))(halves)
    expected = update(state, whole)[0].moments
    for device in range(2):
        np.testing.assert_allclose(moments.mean["x"][device], expected.mean["x"], rtol=1e-6)
        np.testing.assert_allclose(moments.variance["x"][device], expected.variance["x"], rtol=1e-5)
        assert moments.count.low[device] == 32


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_fits_the_trainer_and_costs_nothing_when_off(kind):
    trainer = training.Trainer(small(kind, normalise_observations=True), envs.Chain(), 2)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    assert avals(jax.eval_shape(trainer.step, state)[0]) == avals(state)
    off = jax.eval_shape(lambda key: small(kind).init(envs.Chain().spaces, key=key), jax.random.key(0))
    assert off.moments is None


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_needs_something_to_normalise(kind):
    algorithm = small(kind, normalise_observations=True)
    spaces = Spaces(kinds.Discrete(3), kinds.Discrete(2))
    with pytest.raises(TypeError, match="no part of the observation is floating point"):
        jax.eval_shape(lambda key: algorithm.init(spaces, key=key), jax.random.key(0))
