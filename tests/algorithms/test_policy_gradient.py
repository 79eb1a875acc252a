"""The seeds' policy: each strategy's loss by hand, what the target policy does, and which way the entropy pulls."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

import faults
from bellmax._core import Spaces
from bellmax.algorithms import Batch, PolicyGradient
from training import laws

STRATEGIES = ["vanilla", "ppo", "cross_entropy"]
OBSERVATION = kinds.Box(-1.0, 1.0, (laws.FEATURES,), np.float32)
SPACES = Spaces(OBSERVATION, kinds.Box(-1.0, 1.0, (2,), np.float32))
GAMMA, LAMBDA, BETA = 0.9, 0.8, 0.3


def small(kind=PolicyGradient, **settings):
    settings = {"rollout_length": 8, "discount": GAMMA, "gae_lambda": LAMBDA, "hidden_sizes": (4,)} | settings
    return kind(**{"entropy_coefficient": BETA, "value_coefficient": 0.5, "normalise_advantages": False} | settings)


@functools.cache
def lagging():
    """Returns a state whose target policy is another than the learner's."""
    algorithm = small()
    state, other = (algorithm.init(SPACES, key=jax.random.key(seed)) for seed in range(2))

    def widened(model):  # else both are all but the same: their last weights are small
        return eqx.tree_at(lambda model: model.actor.network.layers[-1].weight, model, replace_fn=lambda w: 40 * w)

    return dataclasses.replace(state, model=widened(state.model), target=widened(other.model))


def parameters(actor, observation):
    """Returns mean and log-variance at each observation, in float64."""
    outputs = np.asarray(jax.vmap(jax.vmap(actor.network))(observation), np.float64)
    return np.split(outputs, 2, axis=-1)


def log_prob(action, mu, logvar):
    return -0.5 * ((action - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)).sum(-1)


def loss_by_hand(strategy, state, transition, epsilon):
    """Returns the whole loss, summed over dimensions of the action and averaged over steps, in NumPy."""
    seen = laws.host(transition)
    (mu, logvar), (mu_b, logvar_b) = (parameters(m.actor, transition.observation) for m in (state.model, state.target))
    value, following = (
        np.asarray(jax.vmap(jax.vmap(state.model.critic))(x), np.float64)
        for x in (transition.observation, transition.next_observation)
    )
    advantage, later = np.zeros_like(value), 0.0
    for t in reversed(range(len(value))):
        delta = seen.reward[t] + np.where(seen.terminated[t], 0, GAMMA * following[t]) - value[t]
        later = delta + np.where(seen.terminated[t] | seen.truncated[t], 0, GAMMA * LAMBDA * later)
        advantage[t] = later
    now, before = log_prob(seen.action, mu, logvar), log_prob(seen.action, mu_b, logvar_b)
    ratio = np.exp(now - before)
    # KL(target ‖ learner), and the target's entropy.
    kl = 0.5 * (logvar - logvar_b + (np.exp(logvar_b) + (mu - mu_b) ** 2) / np.exp(logvar) - 1).sum(-1)
    entropies = [0.5 * (np.log(2 * np.pi * np.e) + x).sum(-1) for x in (logvar, logvar_b)]
    policy = {
        "vanilla": -advantage * now,
        "ppo": -np.minimum(ratio * advantage, np.clip(ratio, 1 - epsilon, 1 + epsilon) * advantage),
        "cross_entropy": kl + entropies[1],
    }[strategy]
    regression = 0.5 * advantage**2  # value less its target, advantage plus value
    return (policy + 0.5 * regression - BETA * entropies[0]).mean(), kl.mean()


def law_loss_is_by_hand(strategy, kind=PolicyGradient, epsilon=0.2):
    algorithm = small(kind, strategy=strategy)
    state, transition = lagging(), laws._connected(laws.rollout(kind="gaussian"))

    @laws.fast_jit
    def run(transition):
        samples = algorithm._evaluate(state, Batch(transition))
        return algorithm._loss(epsilon, state.model, samples)

    loss, metrics = run(transition)
    wanted, kl = loss_by_hand(strategy, state, transition, epsilon)
    assert kl > 0.01
    np.testing.assert_allclose(loss, wanted, rtol=2e-5)
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_loss_is_by_hand(strategy):
    law_loss_is_by_hand(strategy)


FAULTS = {
    "ratio to the learner itself": ("vanilla", "jax.vmap(state.target.actor)", "jax.vmap(state.model.actor)"),
    "kl the wrong way round": ("vanilla", "sample.behaviour.kl_divergence(pi)", "pi.kl_divergence(sample.behaviour)"),
    "entropy of the learner": ("cross_entropy", "sample.behaviour.entropy()", "pi.entropy()"),
    "sign of the ratio": ("ppo", "log_prob - sample.log_prob", "sample.log_prob - log_prob"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_in_the_loss_is_found(name):
    strategy, *change = FAULTS[name]
    with pytest.raises(AssertionError):
        law_loss_is_by_hand(strategy, faults.changed("bellmax.algorithms._policy_gradient", *change).PolicyGradient)


def update(algorithm, state, transition):
    run = laws.fast_jit(
        lambda state, batch: algorithm.update(state, batch, step=jnp.zeros(()), key=jax.random.key(0))[:2]
    )
    return run(state, Batch(transition))


@pytest.mark.slow
def test_clip_is_nothing_to_vanilla():
    transition = laws.rollout(kind="gaussian")
    one, other = (update(small(strategy="vanilla", clip_epsilon=e), lagging(), transition)[0] for e in (0.2, 0.01))
    laws.assert_equal(eqx.filter(one.model, eqx.is_array), eqx.filter(other.model, eqx.is_array))


def test_target_moves_by_its_step_after_the_update_and_by_nothing_else():
    before, transition = lagging(), laws.rollout(kind="gaussian")
    after, _ = update(small(target_step=0.25, epochs=2, minibatches=2), before, transition)
    found, old, online = (
        jax.tree.leaves(eqx.filter(m, eqx.is_array)) for m in (after.target, before.target, after.model)
    )
    for new, one, other in zip(found, old, online, strict=True):
        np.testing.assert_allclose(new, 0.75 * np.asarray(one) + 0.25 * np.asarray(other), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entropy_bonus_raises_entropy(strategy):
    transition = laws.rollout(kind="gaussian")
    settings = {"strategy": strategy, "learning_rate": 1e-2, "epochs": 10, "value_coefficient": 0.0}
    entropies = [
        float(update(small(entropy_coefficient=beta, **settings), lagging(), transition)[1]["entropy"])
        for beta in (0.0, 10.0)
    ]
    assert entropies[1] > entropies[0] + 0.01


@pytest.mark.slow
def test_cross_entropy_distils_a_teacher():
    algorithm = small(
        strategy="cross_entropy", target_step=0.0, entropy_coefficient=0.0, learning_rate=1e-2, epochs=300
    )
    transition = laws.rollout(kind="gaussian")
    before = lagging()
    after, _ = update(algorithm, before, transition)
    laws.assert_equal(*(eqx.filter(state.target, eqx.is_array) for state in (before, after)))
    kl = [
        float(algorithm._loss(0.2, s.model, algorithm._evaluate(s, Batch(transition)))[1]["kl"])
        for s in (before, after)
    ]
    assert kl[1] < 0.1 * kl[0]


@pytest.mark.parametrize("behaviour", ["online", "target"])
def test_behaviour_says_who_acts_and_the_learner_is_evaluated(behaviour):
    state, observation = lagging(), jnp.array([0.5, -1.0, 0.3])
    algorithm = small(behaviour=behaviour)
    key = jax.random.key(2)
    acted, greedy = (
        algorithm.act(state, observation, None, step=jnp.zeros(()), key=key, explore=explore)[0]
        for explore in (True, False)
    )
    actor = state.model.actor if behaviour == "online" else state.target.actor
    np.testing.assert_array_equal(acted, actor(observation).sample(seed=key))
    np.testing.assert_array_equal(greedy, state.model.actor(observation).mode())


@pytest.mark.slow
@pytest.mark.parametrize(
    "action",
    [kinds.Discrete(3), kinds.MultiDiscrete([2, 3]), kinds.Tuple((kinds.Discrete(2), SPACES.action))],
    ids=repr,
)
def test_other_spaces_of_actions_have_policies_and_divergences(action):
    algorithm = small(strategy="cross_entropy")

    def kl(key):
        state = algorithm.init(Spaces(OBSERVATION, action), key=key)
        pi = state.model.actor(jnp.ones(3))
        return state.target.actor(jnp.ones(3)).kl_divergence(pi) + 0 * pi.log_prob(pi.sample(seed=key))

    assert float(laws.fast_jit(kl)(jax.random.key(0))) == 0  # the target begins as a copy


def test_variance_may_be_the_same_everywhere():
    state = small(state_dependent_variance=False).init(SPACES, key=jax.random.key(0))
    assert state.model.actor.logvar.shape == (2,)
    with pytest.raises(AttributeError):
        _ = lagging().model.actor.logvar


@pytest.mark.parametrize("name", ["strategy", "behaviour"])
def test_unknown_choice_is_answered_with_the_list(name):
    with pytest.raises(ValueError, match=f"PolicyGradient: {name} must be one of .*got 'best'"):
        PolicyGradient(**{name: "best"})


def test_torso_may_be_shared_with_a_variance_that_depends_on_the_state():
    state = small(shared_torso=True).init(SPACES, key=jax.random.key(0))
    observation = jnp.ones(laws.FEATURES)
    pi, value = state.model(observation)
    assert pi.sample(seed=jax.random.key(0)).shape == (2,)
    assert value.shape == ()
    torso = eqx.filter_grad(lambda model: model(observation)[1])(state.model).network.layers[0].weight
    assert torso.any()
    spread = eqx.filter_grad(lambda model: model(observation)[0].log_prob(jnp.ones(2)))(state.model)
    assert spread.network.layers[0].weight.any()
