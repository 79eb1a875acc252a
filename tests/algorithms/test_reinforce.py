"""REINFORCE: returns of episodes that ended, and nothing of the others."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.algorithms import REINFORCE, Batch
from training import laws

TRANSITION = laws._connected(laws.rollout())
"""Of 8 steps and 4 lanes: lanes 0 to 2 end with their third step, by termination, truncation and both; lane 3 never."""


@functools.partial(laws.fast_jit, static_argnums=(1, 2))
def run(transition, baseline=True, normalise=False, before=None):
    """Updates once, a linear model if no state is given; returns the states before and after, and the metrics."""
    reinforce = REINFORCE(
        rollout_length=8, discount=0.9, baseline=baseline, normalise_advantages=normalise, learning_rate=1e-2
    )
    state = laws._ppo_state(reinforce, laws.linear_model()) if before is None else before
    after, metrics, _ = reinforce.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(0))
    samples, _ = reinforce._evaluate(state.model, transition, None)
    return state, after, metrics, samples


def returns_by_hand(model, baseline):
    """Returns the return of each of the first three steps of lanes 0 to 2."""
    transition = laws.host(TRANSITION)
    wanted = np.zeros((3, 3))
    for lane in range(3):
        beyond = transition.next_observation[2, lane] @ np.asarray(model.critic.weight, np.float64)
        later = beyond if baseline and not transition.terminated[2, lane] else 0.0
        for now in (2, 1, 0):
            later = transition.reward[now, lane] + 0.9 * later
            wanted[now, lane] = later
    return wanted


@pytest.mark.parametrize("baseline", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_only_steps_of_finished_episodes_count_by_their_return(baseline):
    before, _, metrics, samples = run(TRANSITION, baseline)
    weight = np.asarray(samples.weight).reshape(8, 4)
    assert float(metrics["counted"]) == 9 / 32
    np.testing.assert_allclose(weight[:3, :3], 32 / 9, rtol=1e-6)
    assert weight.sum() == pytest.approx(32)
    wanted = returns_by_hand(before.model, baseline)
    np.testing.assert_allclose(np.asarray(samples.target).reshape(8, 4)[:3, :3], wanted, rtol=1e-4)
    value = np.asarray(TRANSITION.observation @ before.model.critic.weight)[:3, :3] if baseline else 0
    advantage = wanted - value
    np.testing.assert_allclose(np.asarray(samples.advantage).reshape(8, 4)[:3, :3], advantage, atol=1e-4)
    log_prob = np.asarray(samples.log_prob).reshape(8, 4)[:3, :3]
    np.testing.assert_allclose(metrics["policy_loss"], np.mean(-advantage * log_prob), rtol=1e-3)


def test_what_is_not_finished_moves_nothing_nan_included():
    # After the ends, and in the lane without one, anything may stand.
    _, wanted, _, _ = run(TRANSITION)
    spoilt = TRANSITION.reward.at[3:].set(jnp.nan).at[:, 3].set(jnp.nan)
    _, after, metrics, _ = run(dataclasses.replace(TRANSITION, reward=spoilt))
    assert float(metrics["skipped"]) == 0
    assert laws.largest_difference(after.model, wanted.model) == 0


def test_rollout_without_an_end_moves_nothing():
    # Not even by what Adam remembers of the rollout before.
    never = jnp.zeros((8, 4), bool)
    _, before, _, _ = run(TRANSITION)
    nothing = dataclasses.replace(TRANSITION, terminated=never, truncated=never)
    _, after, metrics, _ = run(nothing, True, False, before)
    assert float(metrics["counted"]) == 0
    laws.assert_equal(eqx.filter(before.model, eqx.is_array), eqx.filter(after.model, eqx.is_array))


@pytest.mark.slow
def test_advantages_are_standardised_over_what_counts_on_all_devices():
    _, whole, _, samples = run(TRANSITION, True, True)
    kept = np.asarray(samples.advantage)[np.asarray(samples.weight) > 0]
    np.testing.assert_allclose([kept.mean(), kept.std()], [0, 1], atol=1e-5)
    assert not np.asarray(samples.advantage)[np.asarray(samples.weight) == 0].any()
    # Lanes 2 and 3 on another device: there half as many steps count.
    halves = jax.tree.map(lambda leaf: jnp.moveaxis(leaf.reshape(8, 2, 2, *leaf.shape[2:]), 1, 0), TRANSITION)
    reinforce = REINFORCE(rollout_length=8, discount=0.9, learning_rate=1e-2)
    state = laws._ppo_state(reinforce, laws.linear_model())

    def update(transition):
        settings = dict(step=jnp.zeros(()), key=jax.random.key(0), axis_name="devices")
        return reinforce.update(state, Batch(transition), **settings)[0].model.actor

    spread = laws.fast_jit(jax.vmap(update, out_axes=None, axis_name="devices"))(halves)
    assert laws.largest_difference(whole.model.actor, spread) < 2e-6


@pytest.mark.slow
def test_without_a_baseline_no_value_is_learned():
    before, after, _, _ = run(TRANSITION, False)
    np.testing.assert_array_equal(before.model.critic.weight, after.model.critic.weight)
    assert laws.largest_difference(before.model.actor, after.model.actor) > 0
