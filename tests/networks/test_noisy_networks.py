"""Noisy layers: their equation, what is drawn, and where gradients go."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.networks import MLP, NoisyLinear, count_noisy, perturbed, with_noise


def layer(**settings):
    return with_noise(eqx.nn.Linear(3, 2, key=jax.random.key(0), **settings))


def test_output_is_that_of_the_full_noise_matrix():
    noisy, x = perturbed(layer(), jax.random.key(1)), jnp.array([1.0, -2.0, 3.0])
    noise = np.outer(noisy.noise_out, noisy.noise_in)
    weight = noisy.weight + noisy.weight_scale * noise
    bias = noisy.bias + noisy.bias_scale * np.asarray(noisy.noise_out)
    np.testing.assert_allclose(noisy(x), weight @ x + bias, rtol=1e-5)


def test_without_noise_it_is_the_layer_it_was_made_of():
    plain = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    np.testing.assert_array_equal(with_noise(plain)(jnp.ones(3)), plain(jnp.ones(3)))


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scales_start_at_the_share_of_their_inputs(scale):
    noisy = with_noise(eqx.nn.Linear(4, 2, key=jax.random.key(0)), scale)
    np.testing.assert_allclose(noisy.weight_scale, scale / 2)
    np.testing.assert_allclose(noisy.bias_scale, scale / 2)


def test_noise_is_the_signed_root_of_normal_numbers():
    draws = jax.vmap(lambda key: perturbed(layer(), key).noise_in)(jax.random.split(jax.random.key(0), 4000)).ravel()
    normal = np.sign(draws) * np.square(draws)
    assert abs(normal.mean()) < 4 / np.sqrt(draws.size)
    assert abs(normal.var() - 1) < 4 * np.sqrt(2 / draws.size)


def test_every_layer_draws_noise_of_its_own():
    network = perturbed(with_noise(MLP(jnp.zeros(3), 3, (3, 3), key=jax.random.key(0))), jax.random.key(1))
    vectors = [x for one in network.layers for x in (one.noise_in, one.noise_out)]
    assert len(np.unique(np.stack(vectors), axis=0)) == 6
    other = perturbed(network, jax.random.key(2))
    assert all((np.asarray(a.noise_in) != b.noise_in).any() for a, b in zip(network.layers, other.layers, strict=True))


def test_gradient_reaches_weights_and_scales_but_not_noise():
    gradient = eqx.filter_grad(lambda layer: jnp.sum(layer(jnp.ones(3))))(perturbed(layer(), jax.random.key(1)))
    assert not gradient.noise_in.any()
    assert not gradient.noise_out.any()
    assert all(leaf.all() for leaf in (gradient.weight, gradient.bias, gradient.weight_scale, gradient.bias_scale))


@pytest.mark.parametrize("sizes", [(5,), (2, 7)])
def test_noise_of_every_layer_of_a_perceptron_takes_part(sizes):
    plain = with_noise(MLP(jnp.zeros(3), 2, sizes, key=jax.random.key(0)))
    network = perturbed(plain, jax.random.key(1))
    assert (network(jnp.ones(3)) != plain(jnp.ones(3))).all()
    gradient = eqx.filter_grad(lambda network: jnp.sum(network(jnp.ones(3))))(network)
    assert all(layer.weight_scale.any() and layer.bias_scale.any() for layer in gradient.layers)


def test_layer_without_bias():
    noisy = perturbed(layer(use_bias=False), jax.random.key(1))
    assert noisy.bias is None
    assert noisy.bias_scale is None
    np.testing.assert_array_equal(noisy(jnp.zeros(3)), np.zeros(2))


def test_what_is_not_noisy_stays():
    plain = MLP(jnp.zeros(3), 2, (4,), key=jax.random.key(0))
    assert count_noisy(plain) == 0
    assert count_noisy(with_noise(plain)) == 2
    assert eqx.tree_equal(perturbed(plain, jax.random.key(1)), plain)
    assert all(isinstance(one, NoisyLinear) for one in with_noise(plain).layers)
