import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.networks import MLP
from bellmax.policies import Boltzmann, Categorical, EpsilonGreedy, Gaussian, Greedy, categorical, gaussian
from helpers import assert_close


def test_categorical_policy_is_the_softmax_of_its_network(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), key=getkey())
    policy, observation = Categorical(network), jnp.array([1.0, -1.0, 0.5])
    assert_close(policy(observation).logits, categorical(network(observation)).logits)


def test_gaussian_policy_has_a_variance_that_the_observation_does_not_change(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), key=getkey())
    policy = Gaussian(network, jnp.array([0.0, -1.0]))
    for observation in (jnp.zeros(3), jnp.ones(3)):
        pi = policy(observation)
        np.testing.assert_array_equal(pi.logvar, [0, -1])
        np.testing.assert_array_equal(pi.mu, network(observation))
        assert type(pi) is type(gaussian(jnp.zeros(2), jnp.zeros(2)))


def test_policies_can_be_mapped_differentiated_and_stacked(getkey):
    keys = jax.random.split(getkey(), 3)
    observations = jnp.ones((5, 3))

    def make(key):
        return Gaussian(MLP(jnp.zeros(3), 2, (4,), key=key), jnp.zeros(2))

    policy = eqx.filter_jit(make)(keys[0])
    assert jax.eval_shape(lambda: jax.vmap(policy)(observations).entropy()).shape == (5,)
    loss = eqx.filter_grad(lambda policy: jax.vmap(policy)(observations).log_prob(jnp.ones((5, 2))).sum())
    slope = eqx.filter_jit(loss)(policy)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert np.any(slope.logvar != 0)
    stacked = eqx.filter_jit(eqx.filter_vmap(make))(keys)
    means = eqx.filter_vmap(lambda policy: policy(observations[0]).mean())(stacked)
    assert_close(means, [eqx.filter_jit(make)(key)(observations[0]).mean() for key in keys], atol=1e-4)


def test_gaussian_policy_may_take_its_variance_from_the_network(getkey):
    network = MLP(jnp.zeros(3), 4, (4,), key=getkey())
    policy = Gaussian(lambda s: tuple(jnp.split(network(s), 2)))
    pi = policy(jnp.ones(3))
    np.testing.assert_array_equal(jnp.concatenate([pi.mu, pi.logvar]), network(jnp.ones(3)))


def test_gaussian_policy_says_what_its_network_must_return(getkey):
    with pytest.raises(TypeError, match=r"Gaussian: the network must return \(mu, logvar\), or logvar be given; got"):
        Gaussian(lambda s: s)(jnp.ones(2))
    with pytest.raises(TypeError, match="Gaussian: the network must return the mean alone, beside logvar; got"):
        Gaussian(lambda s: (s, s), jnp.zeros(2))(jnp.ones(2))


@pytest.mark.parametrize("policy", [Categorical, Gaussian])
def test_what_is_no_network_is_refused(policy):
    with pytest.raises(TypeError, match=rf"{policy.__name__}: network must map an observation to an array.*got 3"):
        policy(3)


@pytest.mark.parametrize("policy", [EpsilonGreedy, Boltzmann, Greedy, Categorical])
def test_a_mask_makes_actions_impossible(policy):
    mask = jnp.array([True, False, True])
    pi = policy(lambda s: s)(jnp.array([1.0, 5.0, 2.0]), mask)
    assert pi.probs[1] == 0
    assert int(pi.mode()) == 2
    both = jax.vmap(policy(lambda s: s))(jnp.ones((2, 3)), jnp.stack([mask, ~mask]))
    assert_close(both.probs == 0, jnp.stack([~mask, mask]))


def test_value_based_policies_can_be_made_under_a_transform():
    q = MLP(jnp.zeros(3), 2, (4,), key=jax.random.key(0))
    many = eqx.filter_vmap(lambda eps: EpsilonGreedy(q, eps))(jnp.array([0.0, 1.0]))
    probs = eqx.filter_vmap(lambda policy: policy(jnp.ones(3)).probs)(many)
    assert_close(probs, [EpsilonGreedy(q, eps)(jnp.ones(3)).probs for eps in (0, 1)])
