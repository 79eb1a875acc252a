"""A2C and what it shares with REINFORCE and IMPALA: the loss, and the step of the optimiser."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.algorithms import A2C, Batch
from training import laws

TRANSITION = laws._connected(laws.rollout())


def probabilities(model, observation):
    network = model.actor.network
    logits = np.asarray(observation, np.float64) @ np.asarray(network.weight, np.float64).T + np.asarray(network.bias)
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


@laws.fast_jit
def run(transition=TRANSITION, entropy=0.01, value=0.5, lambda_=0.8):
    """Updates a linear model once by RMSProp; returns the states before and after, and the metrics."""
    a2c = A2C(
        rollout_length=8, discount=0.9, gae_lambda=lambda_, entropy_coefficient=entropy, value_coefficient=value,
        learning_rate=1e-2, max_gradient_norm=1e9,
    )  # fmt: skip
    state = laws._ppo_state(a2c, laws.linear_model())
    gradient = eqx.filter_grad(lambda model: a2c._policy_gradient(model, samples(a2c, model, transition))[0])
    after, metrics, _ = a2c.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(0))
    return state, after, metrics, gradient(state.model)


def samples(a2c, model, transition):
    from bellmax.algorithms._rollouts import evaluated

    return jax.lax.stop_gradient(evaluated(model, transition, a2c.discount, a2c.gae_lambda))


def test_losses_by_hand():
    before, _, metrics, _ = run()
    advantage = laws.advantages_by_hand(TRANSITION, before.model.critic.weight, 0.9, 0.8)
    probs = probabilities(before.model, TRANSITION.observation)
    taken = np.take_along_axis(probs, np.asarray(TRANSITION.action)[..., None], -1)[..., 0]
    np.testing.assert_allclose(metrics["policy_loss"], np.mean(-advantage * np.log(taken)), rtol=1e-4)
    # The target is advantage plus value.
    np.testing.assert_allclose(metrics["value_loss"], 0.5 * np.mean(advantage**2), rtol=1e-4)
    np.testing.assert_allclose(metrics["entropy"], np.mean(-np.sum(probs * np.log(probs), -1)), rtol=1e-4)


def test_policy_gradient_by_hand_does_not_reach_the_critic():
    # ∂L/∂bias_a = mean(−A (1{a} − π(a))): neither the advantage nor the target is differentiated.
    before, _, _, gradient = run(entropy=0.0, value=0.0)
    advantage = laws.advantages_by_hand(TRANSITION, before.model.critic.weight, 0.9, 0.8)
    chosen = np.eye(2)[np.asarray(TRANSITION.action)]
    slope = -(advantage[..., None] * (chosen - probabilities(before.model, TRANSITION.observation))).mean((0, 1))
    np.testing.assert_allclose(gradient.actor.network.bias, slope, rtol=1e-3)
    assert not np.asarray(gradient.critic.weight).any()


def test_step_of_rmsprop_by_hand():
    before, after, _, gradient = run()
    for name in ("weight", "bias"):
        slope = np.asarray(getattr(gradient.actor.network, name), np.float64)
        # The first second moment is a hundredth of the square.
        wanted = getattr(before.model.actor.network, name) - 1e-2 * slope / (0.1 * np.abs(slope) + 1e-5)
        np.testing.assert_allclose(getattr(after.model.actor.network, name), wanted, rtol=1e-4)


def test_nan_reward_is_skipped():
    reward = TRANSITION.reward.at[1, 0].set(jnp.nan)
    before, after, metrics, _ = run(dataclasses.replace(TRANSITION, reward=reward))
    assert float(metrics["skipped"]) == 1
    laws.assert_equal(eqx.filter(before.model, eqx.is_array), eqx.filter(after.model, eqx.is_array))


def test_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match="optimiser must be adam or rmsprop; got 'sgd'"):
        A2C(optimiser="sgd")


@pytest.mark.slow
def test_advantages_may_be_standardised():
    a2c = A2C(rollout_length=8, normalise_advantages=True)
    reward = 100 * TRANSITION.reward
    losses = []
    for transition in (TRANSITION, dataclasses.replace(TRANSITION, reward=reward)):
        model = eqx.tree_at(lambda model: model.critic.weight, laws.linear_model(), jnp.zeros(laws.FEATURES))
        state = laws._ppo_state(a2c, model)
        _, metrics, _ = a2c.update(state, Batch(transition), step=jnp.zeros(()), key=jax.random.key(0))
        losses.append(float(metrics["policy_loss"]))
    np.testing.assert_allclose(*losses, rtol=1e-3)
