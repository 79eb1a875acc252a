"""IMPALA: V-trace against plain Python, and actors that lag behind."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bellmax.algorithms import IMPALA, PPO, Batch
from training import laws

BARE = laws._connected(laws.rollout())
LOG_RATIO = np.random.default_rng(3).normal(size=(8, 4)).astype(np.float32)
SETTINGS = dict(rollout_length=8, discount=0.9, trace_lambda=0.8, actor_lag=3, learning_rate=1e-2)
MODEL = laws.linear_model()
OWN = np.asarray(PPO(rollout_length=8)._evaluate(MODEL, Batch(BARE)).log_prob).reshape(8, 4)


def by_an_actor(log_ratio):
    """Returns the rollout of an actor whose log-probabilities are this much below the learner's."""
    return dataclasses.replace(BARE, extras=jnp.asarray(OWN - log_ratio))


def vtrace_by_hand(transition, log_ratio, clip):
    """Runs V-trace over each episode, backwards; returns targets and advantages."""
    t, weight = laws.host(transition), np.asarray(MODEL.critic.weight, np.float64)
    ratio = np.minimum(np.exp(np.asarray(log_ratio, np.float64)), clip)
    targets, advantages = np.zeros((8, 4)), np.zeros((8, 4))
    for lane in range(4):
        for now in reversed(range(8)):
            value, following = t.observation[now, lane] @ weight, t.next_observation[now, lane] @ weight
            discount = 0.0 if t.terminated[now, lane] else 0.9
            last = t.terminated[now, lane] or t.truncated[now, lane] or now == 7
            later = following if last else targets[now + 1, lane]
            rho = ratio[now, lane]
            error = rho * (t.reward[now, lane] + discount * following - value)
            targets[now, lane] = value + error + discount * 0.8 * rho * (later - following)
            mixed = 0.8 * later + 0.2 * following
            advantages[now, lane] = rho * (t.reward[now, lane] + discount * mixed - value)
    return targets, advantages


@laws.fast_jit
def run(transition, calls):
    """Updates a number of times from the same rollout; returns the state and the last metrics."""
    impala = IMPALA(**SETTINGS)
    state = laws._ppo_state(impala, MODEL)
    settings = dict(step=jnp.zeros(()), key=jax.random.key(0))

    def update(_, carry):
        return impala.update(carry[0], Batch(transition), **settings)[:2]

    sample, _ = impala._evaluate(MODEL, transition)
    metrics = jax.tree.map(jnp.zeros_like, jax.eval_shape(update, 0, (state, None))[1])
    state, metrics = jax.lax.fori_loop(0, calls, update, (state, metrics))
    return sample, metrics, state


def test_targets_and_advantages_by_hand():
    for shift in (LOG_RATIO, np.zeros_like(LOG_RATIO)):
        transition = by_an_actor(shift)
        sample, metrics, _ = run(transition, 1)
        targets, advantages = vtrace_by_hand(transition, shift, 1.0)
        np.testing.assert_allclose(np.asarray(sample.target).reshape(8, 4), targets, atol=3e-5)
        np.testing.assert_allclose(np.asarray(sample.advantage).reshape(8, 4), advantages, atol=3e-5)
        np.testing.assert_allclose(metrics["policy_loss"], np.mean(-advantages * OWN), atol=1e-4)
        np.testing.assert_allclose(metrics["approximate_kl"], np.mean(np.expm1(shift) - shift), atol=1e-4)


def test_actors_get_new_parameters_every_few_updates():
    transition = by_an_actor(LOG_RATIO)
    lent = MODEL
    for calls in range(5):
        _, _, state = run(transition, calls)
        if calls == 3:
            lent = state.model
        assert laws.largest_difference(state.behaviour, lent) == 0
        assert int(state.updates) == calls
        assert (laws.largest_difference(state.model, state.behaviour) == 0) == (calls in (0, 3))


def test_actors_act_and_the_learner_is_evaluated():
    impala, other = IMPALA(**SETTINGS), laws.linear_model(seed=1)
    state = dataclasses.replace(laws._ppo_state(impala, MODEL), behaviour=other)
    act = laws.fast_jit(
        lambda observation, key, explore: impala.act(
            state, observation, None, step=jnp.zeros(()), key=key, explore=explore
        )[:2],
        static_argnums=2,
    )
    observation = jnp.array([0.4, -1.0, 0.2])
    for seed in range(8):
        action, log_prob = act(observation, jax.random.key(seed), True)
        np.testing.assert_allclose(log_prob, other.actor(observation).log_prob(action), rtol=1e-5)
    assert int(act(observation, jax.random.key(0), False)[0]) == int(MODEL.actor(observation).mode())


def test_learner_and_actors_share_no_buffer():
    state = laws._ppo_state(IMPALA(**SETTINGS), MODEL)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.model, state.behaviour))]
    assert len(set(pointers)) == len(pointers)
