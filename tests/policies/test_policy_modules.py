import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bellmax.networks import MLP
from bellmax.policies import CategoricalPolicy, GaussianPolicy, categorical, gaussian
from helpers import assert_close


def test_categorical_policy_is_the_softmax_of_its_network(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), key=getkey())
    policy, observation = CategoricalPolicy(network), jnp.array([1.0, -1.0, 0.5])
    assert_close(policy(observation).logits, categorical(network(observation)).logits)


def test_gaussian_policy_has_a_variance_that_the_observation_does_not_change(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), key=getkey())
    policy = GaussianPolicy(network, jnp.array([0.0, -1.0]))
    for observation in (jnp.zeros(3), jnp.ones(3)):
        pi = policy(observation)
        np.testing.assert_array_equal(pi.logvar, [0, -1])
        np.testing.assert_array_equal(pi.mu, network(observation))
        assert type(pi) is type(gaussian(jnp.zeros(2), jnp.zeros(2)))


def test_policies_can_be_mapped_differentiated_and_stacked(getkey):
    keys = jax.random.split(getkey(), 3)
    observations = jnp.ones((5, 3))

    def make(key):
        return GaussianPolicy(MLP(jnp.zeros(3), 2, (4,), key=key), jnp.zeros(2))

    policy = eqx.filter_jit(make)(keys[0])
    assert jax.eval_shape(lambda: jax.vmap(policy)(observations).entropy()).shape == (5,)
    loss = eqx.filter_grad(lambda policy: jax.vmap(policy)(observations).log_prob(jnp.ones((5, 2))).sum())
    slope = eqx.filter_jit(loss)(policy)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert np.any(slope.logvar != 0)
    stacked = eqx.filter_jit(eqx.filter_vmap(make))(keys)
    means = eqx.filter_vmap(lambda policy: policy(observations[0]).mean())(stacked)
    assert_close(means, [eqx.filter_jit(make)(key)(observations[0]).mean() for key in keys], atol=1e-4)
