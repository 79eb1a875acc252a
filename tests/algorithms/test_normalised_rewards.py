"""Rewards are divided by the deviation of a running return that the trainer keeps for each lane."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax._core import Spaces
from bellmax.algorithms import PPO, Batch, Transition
from bellmax.envs import Chain
from training import laws

DISCOUNT, LANES = 0.9, 4
SPACES: Spaces = Chain().spaces


def small(normalise):
    """Learns nothing but moments."""
    return PPO(
        rollout_length=8, minibatches=2, epochs=1, hidden_sizes=(4,), discount=DISCOUNT, learning_rate=0.0,
        normalise_rewards=normalise,
    )  # fmt: skip


ON, OFF = small(True), small(False)
START = laws.fast_jit(lambda key: ON.init(SPACES, key=key))(jax.random.key(0))


def batch(seed, running=None):
    """A random rollout: rewards of deviation 50, ends of either kind and of both."""
    rng, shape = np.random.default_rng(seed), (8, LANES)
    seen = [jnp.asarray(rng.normal(size=(*shape, 4)), jnp.float32) for _ in range(2)]
    action = jnp.asarray(rng.integers(0, 2, shape))
    reward = jnp.asarray(20 + 50 * rng.normal(size=shape), jnp.float32)
    ends = [jnp.asarray(rng.random(shape) < 0.2) for _ in range(2)]
    running = jnp.zeros(LANES) if running is None else running
    return Batch(Transition(seen[0], action, reward, seen[1], *ends), accumulators=running)


def update(algorithm, state, batch, axis_name=None):
    return algorithm.update(state, batch, step=jnp.zeros(()), key=jax.random.key(1), axis_name=axis_name)


update_on = laws.fast_jit(lambda state, batch: update(ON, state, batch))
update_off = laws.fast_jit(lambda state, batch: update(OFF, state, batch))


def by_hand(batches):
    """Returns the running return after every step, in plain loops, and what each lane goes on with."""
    running, seen = np.zeros(LANES), []
    for one in batches:
        transition = laws.host(one.transition)
        for reward, terminated, truncated in zip(
            transition.reward, transition.terminated, transition.truncated, strict=True
        ):
            running = DISCOUNT * running + reward
            seen.append(running)
            running = np.where(terminated | truncated, 0.0, running)
    return np.array(seen), running


def test_running_returns_go_on_from_rollout_to_rollout_and_end_with_the_episode():
    given = [batch(0), batch(1), batch(2)]
    state, running = START, given[0].accumulators
    for one in given:
        state, _, feedback = update_on(state, dataclasses.replace(one, accumulators=running))
        running = feedback.accumulators
    assert laws.avals(state) == laws.avals(START)
    seen, expected = by_hand(given)
    np.testing.assert_allclose(running, expected, rtol=1e-5)
    np.testing.assert_allclose(state.reward_moments.mean, seen.mean(), rtol=1e-5)
    np.testing.assert_allclose(state.reward_moments.variance, seen.var(), rtol=1e-4)
    assert int(state.reward_moments.count) == 3 * 8 * LANES


def test_what_is_learned_from_is_the_reward_over_the_deviation():
    given = batch(3)
    _, metrics, _ = update_on(START, given)
    deviation = by_hand([given])[0].std()
    scaled = np.clip(np.asarray(given.transition.reward) / deviation, -10, 10)
    plain = dataclasses.replace(given.transition, reward=jnp.asarray(scaled, jnp.float32))
    unscaled = dataclasses.replace(START, reward_moments=None)
    _, expected, _ = update_off(unscaled, Batch(plain))
    for name in ("value_loss", "policy_loss", "explained_variance"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-4, atol=1e-6)
    _, raw, _ = update_off(unscaled, Batch(given.transition))
    assert raw["value_loss"] > 10 * metrics["value_loss"]


def test_unit_of_the_reward_does_not_matter():
    given = batch(4)
    _, one, _ = update_on(START, given)
    thousand = dataclasses.replace(given.transition, reward=1000 * given.transition.reward)
    _, other, _ = update_on(START, Batch(thousand, accumulators=given.accumulators))
    for name in ("value_loss", "policy_loss", "entropy"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)


def test_reward_that_is_not_finite_counts_nowhere():
    given = batch(5)
    spoilt = given.transition.reward.at[2, 1].set(jnp.nan)
    poisoned = Batch(dataclasses.replace(given.transition, reward=spoilt), accumulators=given.accumulators)
    state, _, feedback = update_on(START, poisoned)
    assert int(state.reward_moments.count) == 8 * LANES - 1
    for leaf in jax.tree.leaves((state.reward_moments, feedback.accumulators)):
        assert np.isfinite(np.asarray(leaf, float)).all()


def test_moments_are_merged_over_devices_and_running_returns_stay_with_their_lanes():
    given = batch(6)
    cut = jax.tree.map(lambda leaf: jnp.stack(jnp.split(leaf, 2, 1)), given.transition)
    halves = Batch(cut, accumulators=given.accumulators.reshape(2, -1))

    def moments(batch):
        state, _, feedback = update(ON, START, batch, "devices")
        return state.reward_moments, feedback.accumulators

    found, running = laws.fast_jit(jax.vmap(moments, axis_name="devices"))(halves)
    state, _, feedback = update_on(START, given)
    np.testing.assert_allclose(running.reshape(-1), feedback.accumulators, rtol=1e-6)
    for device in range(2):
        np.testing.assert_allclose(found.mean[device], state.reward_moments.mean, rtol=1e-6)
        np.testing.assert_allclose(found.variance[device], state.reward_moments.variance, rtol=1e-5)


@pytest.mark.slow
def test_trainer_keeps_the_running_returns():
    laws.law_accumulators_go_on(laws.REAL)


@pytest.mark.parametrize("normalise", [False, True])
def test_without_there_is_nothing_to_keep(normalise):
    accumulators = small(normalise).init_accumulators(SPACES)
    assert (accumulators is None) == (not normalise)


def test_running_return_ends_with_its_episode_whatever_is_paid():
    one = batch(0)
    transition = one.transition
    ends = transition.terminated.at[-2].set(True)
    reward = transition.reward.at[-2:].set(jnp.array([[jnp.nan], [3.0]]))
    quiet = jnp.zeros_like(transition.truncated)
    transition = dataclasses.replace(transition, reward=reward, terminated=ends.at[-1].set(False), truncated=quiet)
    _, _, feedback = update_on(START, dataclasses.replace(one, transition=transition))
    np.testing.assert_allclose(feedback.accumulators, np.full(LANES, 3.0), rtol=1e-6)
