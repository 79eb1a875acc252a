"""Two streams, and quantiles at any fractions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.networks import MLP, Dueling, ImplicitQuantiles


def test_streams_are_joined_for_every_atom():
    value, advantage = jnp.array([10.0, 20.0]), jnp.array([1.0, 0.0, 2.0, 0.0, 6.0, 3.0])
    network = Dueling(lambda x: x, lambda x: value, lambda x: advantage, (3, 2))
    # Advantages of the first atom 1, 2, 6, mean 3; of the second 0, 0, 3, mean 1.
    np.testing.assert_array_equal(network(None), [[8, 19], [9, 19], [13, 22]])


@pytest.mark.slow
def test_value_stream_is_the_mean_over_actions():
    key = jax.random.key(0)
    network = Dueling(
        MLP(jnp.zeros(3), 4, (), key=key),
        MLP(jnp.zeros(4), 1, (), key=key),
        MLP(jnp.zeros(4), 5, (), last_scale=9.0, key=key),
        (5,),
    )
    x = jnp.ones(3)
    q = network(x)
    assert q.shape == (5,)
    assert q.std() > 0.1
    np.testing.assert_allclose(q.mean(), network.value(network.torso(x))[0], rtol=1e-4)


def test_quantiles_by_hand():
    network = ImplicitQuantiles(
        lambda x: x, eqx.nn.Linear(3, 2, key=jax.random.key(0)), lambda x: jnp.stack([x.sum(), x[0], -x[1]]), 3
    )
    x, fractions = jnp.array([2.0, 3.0]), jnp.array([0.0, 0.3, 1.0, 0.5])
    found = network(x, fractions)
    assert found.shape == (3, 4)
    for i, fraction in enumerate(np.asarray(fractions)):
        cosines = np.cos(np.pi * np.arange(3) * fraction)
        phi = np.maximum(network.embedding.weight @ cosines + network.embedding.bias, 0)
        product = np.asarray(x) * phi
        np.testing.assert_allclose(found[:, i], [product.sum(), product[0], -product[1]], rtol=1e-5, atol=1e-6)
