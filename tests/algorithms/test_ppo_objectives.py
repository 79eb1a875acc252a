"""PPO's objectives beside the clip: a penalty on the divergence, and a drift function."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.algorithms import PPO, Batch
from bellmax.losses import discovered_policy_loss
from training import laws

SIZES = dict(rollout_length=4, epochs=2, minibatches=1)
TRANSITION = laws.rollout(4, 2)


@functools.partial(laws.fast_jit, static_argnums=0)
def run(objective, coefficient=1.0, target=0.01, rate=1e-2, transition=TRANSITION):
    """Updates a linear model; returns the state before, the state after and the metrics."""
    ppo = PPO(**SIZES, objective=objective, kl_coefficient=coefficient, kl_target=target, learning_rate=rate)
    state = laws._ppo_state(ppo, laws.linear_model())
    return state, *ppo.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(0))[:2]


def test_objectives_are_named():
    with pytest.raises(ValueError, match="objective must be one of clip, kl, drift; got 'trust'"):
        PPO(objective="trust")


@pytest.mark.parametrize(("target", "factor"), [(1e-9, 2.0), (1e9, 0.5)])
def test_penalty_is_doubled_after_far_steps_and_halved_after_short_ones(target, factor):
    before, after, metrics = run("kl", 0.5, target)
    assert float(before.kl_coefficient) == 0.5
    assert float(after.kl_coefficient) == float(metrics["kl_coefficient"]) == 0.5 * factor


def test_divergence_is_from_the_policy_that_acted_to_the_one_that_learned():
    before, after, metrics = run("kl", 0.5, 1e9)
    observation = TRANSITION.observation.reshape(-1, laws.FEATURES)

    def probs(state):
        network = state.model.actor.network
        logits = observation @ np.asarray(network.weight, np.float64).T + np.asarray(network.bias, np.float64)
        return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    old, new = probs(before), probs(after)
    wanted = np.mean(np.sum(old * np.log(old / new), axis=-1))
    assert wanted > 1e-4
    np.testing.assert_allclose(metrics["kl"], wanted, rtol=1e-3)


def test_strong_penalty_holds_the_policy():
    *_, free = run("kl", 0.0)
    *_, loose = run("kl", 0.0, rate=1e-3)
    *_, held = run("kl", 1e3, rate=1e-3)
    assert float(held["kl"]) < float(loose["kl"]) < float(free["kl"])


def test_penalty_never_reaches_zero_and_survives_nan():
    _, after, _ = run("kl", 1.5e-4, 1e9)
    np.testing.assert_allclose(after.kl_coefficient, 1e-4, rtol=1e-6)
    nothing = dataclasses.replace(TRANSITION, observation=jnp.full_like(TRANSITION.observation, jnp.nan))
    _, after, _ = run("kl", 0.7, 1e9, transition=nothing)
    np.testing.assert_allclose(after.kl_coefficient, 0.7, rtol=1e-6)


def test_penalty_may_stay_as_it_is():
    ppo = PPO(**SIZES, objective="kl", kl_adaptive=False, kl_coefficient=0.5, kl_target=1e9)
    model = laws.linear_model()
    state, sample = laws._ppo_state(ppo, model), ppo._evaluate(model, Batch(TRANSITION))
    assert float(ppo._adapted(state, sample, None)[0].kl_coefficient) == 0.5


@pytest.mark.parametrize("objective", ["kl", "drift"])
def test_objectives_agree_with_the_clip_at_the_policy_that_acted(objective):
    # There the ratio is 1 and nothing holds back.
    def gradient(objective, model):
        ppo = PPO(**SIZES, objective=objective, kl_coefficient=3.0)
        sample = ppo._evaluate(model, Batch(TRANSITION))
        return eqx.filter_grad(lambda model: ppo._loss(0.2, 3.0, model, sample)[0])(model)

    pair = laws.fast_jit(lambda model: (gradient(objective, model), gradient("clip", model)))
    assert laws.largest_difference(*pair(laws.linear_model())) < 1e-6


def test_drift_is_the_loss_of_discovered_policy_optimisation():
    # The second of two epochs is off the policy that acted.
    ppo = PPO(**SIZES, objective="drift")
    batch = Batch(TRANSITION)
    sample = ppo._evaluate(laws.linear_model(), batch)
    moved = laws.linear_model(seed=1)
    _, metrics = ppo._loss(0.2, None, moved, sample)
    log_prob = ppo._evaluate(moved, batch).log_prob
    wanted = discovered_policy_loss(log_prob - sample.log_prob, sample.advantage).mean()
    np.testing.assert_allclose(metrics["policy_loss"], wanted, rtol=1e-5)


def test_clip_may_be_scheduled():
    ppo = PPO(**SIZES, learning_rate=1e-2, clip_epsilon=lambda step: jnp.where(step < 100, 1e-9, 0.3))
    state = laws._ppo_state(ppo, laws.linear_model())
    update = laws.fast_jit(
        lambda step: ppo.update(state, Batch(TRANSITION), step=step, key=jax.random.key(0))[1]["clip_fraction"]
    )
    # Of two epochs the first is on the policy that acted.
    assert float(update(jnp.array(99.0))) > 0.4
    assert float(update(jnp.array(100.0))) < 0.2
