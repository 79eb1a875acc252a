import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.networks import MLP
from helpers import assert_close


@pytest.mark.parametrize("hidden_sizes", [(), (5,), (8, 6)])
def test_shapes(hidden_sizes, getkey):
    network = eqx.filter_eval_shape(MLP, jnp.zeros(3), 2, hidden_sizes, key=getkey())
    sizes = (3, *hidden_sizes, 2)
    assert [layer.weight.shape for layer in network.layers] == list(zip(sizes[1:], sizes[:-1], strict=True))
    assert eqx.filter_eval_shape(network, jnp.ones(3)).shape == (2,)


@pytest.mark.parametrize("last_scale", [0.01, 1.0])
def test_weights_are_orthogonal_with_their_gain_and_biases_are_zero(last_scale, getkey):
    network = MLP(jnp.zeros(3), 2, (8, 6), last_scale=last_scale, key=getkey())
    for layer, gain in zip(network.layers, (2**0.5, 2**0.5, last_scale), strict=True):
        weight = np.asarray(layer.weight, np.float64)
        square = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
        assert_close(square, gain**2 * np.eye(len(square)), rtol=1e-5, atol=1e-5 * gain**2)
        assert (np.asarray(layer.bias) == 0).all()


def test_is_the_chain_of_its_layers(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), activation=jax.nn.relu, key=getkey())
    first, last = network.layers
    x = jnp.array([1.0, -2.0, 0.5])
    expected = np.asarray(last.weight) @ np.maximum(np.asarray(first.weight) @ np.asarray(x), 0)
    assert_close(network(x), expected)


def test_a_tree_of_observations_is_flattened_and_joined(getkey):
    tree = {"position": jnp.ones((2, 2)), "count": jnp.array(3), "seen": jnp.array([True, False])}
    network, flat = (MLP(shown, 2, (4,), key=jax.random.key(0)) for shown in (tree, jnp.zeros(7)))
    # Leaves in the order of their names: count, position, seen.
    assert_close(network(tree), flat(jnp.array([3.0, 1, 1, 1, 1, 1, 0])))


def test_whole_numbers_are_taken_as_they_are(getkey):
    network = MLP(jnp.zeros(3, jnp.uint8), 2, (4,), key=getkey())
    assert_close(network(jnp.array([255, 0, 1], jnp.uint8)), network(jnp.array([255.0, 0, 1])))


def test_the_same_key_gives_the_same_network_and_another_key_another():
    one, same, other = (MLP(jnp.zeros(3), 2, (4,), key=jax.random.key(seed)) for seed in (0, 0, 1))
    assert eqx.tree_equal(one, same)
    for layer, different in zip(one.layers, other.layers, strict=True):
        assert not np.allclose(layer.weight, different.weight)


def test_layers_of_one_shape_differ(getkey):
    network = MLP(jnp.zeros(4), 4, (4, 4), key=getkey())
    weights = [np.asarray(layer.weight) for layer in network.layers]
    assert not np.allclose(weights[0], weights[1])


@pytest.mark.slow
def test_vmap_equals_a_loop_over_examples_and_over_keys(getkey):
    network, x = MLP(jnp.zeros(3), 2, (4,), key=getkey()), jax.random.normal(getkey(), (5, 3))
    assert_close(jax.vmap(network)(x), jnp.stack([network(row) for row in x]))
    keys = jax.random.split(getkey(), 3)

    def make(key):
        return MLP(jnp.zeros(3), 2, (4,), key=key)

    stacked = eqx.filter_vmap(make)(keys)
    out = eqx.filter_vmap(lambda network: network(x[0]))(stacked)
    assert_close(out, jnp.stack([make(key)(x[0]) for key in keys]), atol=1e-4)


def test_the_gradient_of_a_layer_that_widens_is_that_of_its_matrix(getkey):
    network = MLP(jnp.zeros(2), 1, (5,), activation=lambda x: x, key=getkey())
    x, weight = np.array([[1.0, -2.0], [0.5, 3.0], [4.0, 1.0]]), np.asarray(network.layers[1].weight)
    gradient = eqx.filter_grad(lambda network: jax.vmap(network)(jnp.asarray(x)).sum())(network)
    assert_close(gradient.layers[0].weight, weight.T @ x.sum(axis=0)[None])
    assert_close(gradient.layers[0].bias, 3 * weight[0])


def test_gradients_reach_every_layer(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), key=getkey())
    slope = eqx.filter_grad(lambda network: network(jnp.ones(3)).sum())(network)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(slope))


def test_no_key_is_used_twice(getkey):
    with jax.debug_key_reuse(True):
        MLP(jnp.zeros(3), 2, (4,), key=jax.random.key(0))


def test_without_orthogonality_weights_and_biases_are_uniform_up_to_one_over_the_root_of_the_inputs(getkey):
    network = MLP(jnp.zeros(4), 3, (100,), orthogonal=False, key=getkey())
    for layer, inputs in zip(network.layers, (4, 100), strict=True):
        for values in (layer.weight, layer.bias):
            assert jnp.abs(values).max() <= 1 / inputs**0.5
            assert jnp.abs(values).max() > 0.5 / inputs**0.5


def test_layer_norm_stands_before_each_nonlinearity(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), activation=jax.nn.relu, layer_norm=True, key=getkey())
    scale, shift = jnp.array([1.0, 2.0, 0.5, -1.0]), jnp.array([0.0, 0.1, -0.2, 0.3])
    network = eqx.tree_at(lambda network: (network.norms[0].weight, network.norms[0].bias), network, (scale, shift))
    first, last = network.layers
    x = jnp.array([1.0, -2.0, 0.5])
    hidden = np.asarray(first.weight, np.float64) @ np.asarray(x)
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
    assert_close(network(x), np.asarray(last.weight) @ np.maximum(hidden * np.asarray(scale) + np.asarray(shift), 0))
    assert MLP(jnp.zeros(3), 2, (4,), key=getkey()).norms == ()


def test_each_output_may_have_its_own_scale(getkey):
    network = MLP(jnp.zeros(3), 2, (4,), last_scale=(0.01, 1.0), key=getkey())
    weight = np.asarray(network.layers[-1].weight, np.float64)
    assert_close(weight @ weight.T, np.diag([1e-4, 1.0]), rtol=1e-5, atol=1e-6)
