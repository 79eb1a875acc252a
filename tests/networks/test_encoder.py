import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax._core import example
from bellmax.networks import MLP, Convolutional, Encoder
from helpers import assert_close
from training.laws import fast_jit

FLAT = kinds.Box(-1.0, 1.0, (3,), np.float32)
MINATAR = kinds.Box(0.0, 1.0, (10, 10, 4), np.float32)
ATARI = kinds.Box(0, 255, (84, 84, 4), np.uint8)
TREE = kinds.Dict({"z": kinds.Discrete(3, start=-1), "a": kinds.Tuple((FLAT, kinds.MultiBinary(2))), "m": MINATAR})

# Space and the number of features: Nature's 7 x 7 x 64, MinAtar's 8 x 8 x 16.
SPACES = [
    (FLAT, 3),
    (kinds.Box(0, 9, (2, 2), np.int32), 4),
    (kinds.Box(-1.0, 1.0, (), np.float32), 1),
    (kinds.Discrete(5), 5),
    (kinds.MultiDiscrete([2, 3], start=[1, 0]), 5),
    (kinds.MultiDiscrete([[2, 3], [4, 2]]), 11),
    (kinds.MultiBinary((2, 3)), 6),
    (MINATAR, 1024),
    (kinds.MultiBinary((10, 10, 4)), 400),
    (kinds.Box(0, 1, (10, 10, 4), bool), 1024),
    (ATARI, 3136),
    (kinds.Box(0, 255, (4, 84, 84), np.uint8), 3136),
    (kinds.Box(0, 255, (84, 84, 3, 4), np.uint8), 3136),
    (kinds.Box(0, 255, (4, 84, 84, 3), np.uint8), 3136),
    (kinds.Box(0.0, 1.0, (36, 44, 1), np.float32), 128),
    (kinds.Box(0.0, 1.0, (35, 40, 1), np.float32), 33 * 38 * 16),
    (kinds.Box(0.0, 1.0, (2, 10, 2), np.float32), 40),
    (TREE, 3 + 2 + 1024 + 3),
]


def torso_of(space):
    """Returns what makes a vector of an element; without images it has no weights, so none are drawn."""
    return eqx.filter_eval_shape(lambda key: Encoder(space, 1, key=key), jax.random.key(0)).torso


@pytest.mark.parametrize(("space", "features"), SPACES, ids=lambda value: str(value)[:60])
def test_shapes_of_every_kind_of_space(space, features, getkey):
    def run(element, key):
        network = Encoder(space, 2, (4,), key=key)
        return network.torso(element), network(element)

    # As many leaves as the space has, of its types.
    torso, out = eqx.filter_eval_shape(run, example(space), getkey())
    assert torso.shape == (features,)
    assert out.shape == (2,)
    assert out.dtype == torso.dtype == jnp.float32


@pytest.mark.parametrize("space", [FLAT, kinds.Dict({"b": FLAT, "a": FLAT})], ids=["box", "dict"])
def test_without_images_the_weights_are_those_of_a_perceptron(space):
    key = jax.random.key(0)
    encoder, mlp = fast_jit(lambda key: (Encoder(space, 2, (4,), key=key), MLP(example(space), 2, (4,), key=key)))(key)
    assert eqx.tree_equal(encoder.mlp, mlp)
    element = jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), example(space))
    assert_close(encoder(element), mlp(element))


def test_choices_are_one_hot_from_their_start():
    torso = torso_of(TREE["z"])
    assert jax.vmap(torso)(jnp.array([-1, 0, 1])).tolist() == np.eye(3).tolist()
    torso = torso_of(kinds.MultiDiscrete([2, 3], start=[1, 0]))
    assert torso(jnp.array([2, 1])).tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("choice", [-1, 5, 2**31 - 1])
def test_a_choice_outside_its_range_is_seen(choice):
    assert np.isnan(torso_of(kinds.Discrete(5))(jnp.array(choice))).all()


def test_only_the_choice_that_is_outside_is_nan():
    torso = torso_of(kinds.MultiDiscrete([2, 3]))
    np.testing.assert_array_equal(torso(jnp.array([2, 1])), [np.nan, np.nan, 0, 1, 0])


def test_parts_are_joined_by_name_and_place():
    torso = Encoder(
        kinds.Dict({"b": kinds.Discrete(2), "a": kinds.Tuple((FLAT, FLAT))}), 1, key=jax.random.key(0)
    ).torso
    element = {"b": jnp.array(1), "a": (jnp.arange(3.0), jnp.arange(3.0) + 10)}
    assert torso(element).tolist() == [0, 1, 2, 10, 11, 12, 0, 1]


@pytest.mark.parametrize(("kind", "high", "unit"), [(np.uint8, 255, 255), (np.float32, 4, 1)])
def test_without_convolution_an_image_is_a_vector_in_its_unit(kind, high, unit, getkey):
    space = kinds.Box(0, high, (4, 3, 2), kind)
    image = jax.random.randint(getkey(), (4, 3, 2), 0, 5).astype(kind)
    encoder = Encoder(kinds.Dict({"i": space}), 2, (4,), convolution=False, key=getkey())
    np.testing.assert_allclose(encoder.torso({"i": image}), np.ravel(image) / unit, rtol=1e-6)
    assert not jax.tree.leaves(eqx.filter(encoder.torso, eqx.is_array))


def test_convolution_is_a_loop_over_windows(getkey):
    image = np.asarray(jax.random.normal(getkey(), (5, 6, 2)))
    network = Convolutional((5, 6, 2), 2.0, orthogonal=False, key=getkey())
    (layer,) = network.layers
    weight, bias = np.asarray(layer.weight), np.asarray(layer.bias).ravel()
    expected = np.zeros((16, 3, 4))
    for kernel in range(16):
        for row in range(3):
            for column in range(4):
                window = image[row : row + 3, column : column + 3] / 2
                total = sum((weight[kernel, channel] * window[:, :, channel]).sum() for channel in range(2))
                expected[kernel, row, column] = max(total + bias[kernel], 0)
    assert_close(network(jnp.asarray(image)), expected.ravel(), rtol=1e-4, atol=1e-5)
    # The same image with its channels first, and in two axes of channels.
    first = eqx.tree_at(
        lambda net: net.layers, Convolutional((2, 5, 6), 2.0, orthogonal=False, key=getkey()), network.layers
    )
    assert_close(first(jnp.asarray(image.transpose(2, 0, 1))), expected.ravel(), rtol=1e-4, atol=1e-5)
    split = eqx.tree_at(
        lambda net: net.layers, Convolutional((5, 6, 1, 2), 2.0, orthogonal=False, key=getkey()), network.layers
    )
    assert_close(split(jnp.asarray(image)[:, :, None]), expected.ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("high", "unit"), [(255, 255.0), (9, 9.0)])
def test_bytes_are_divided_by_the_largest(high, unit):
    space = kinds.Box(0, high, (5, 5, 1), np.uint8)
    assert torso_of(space).unit == unit


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_other_numbers_are_taken_as_they_are(dtype):
    assert torso_of(kinds.Box(0, 9, (5, 5, 1), dtype)).unit == 1


def test_kernels_are_orthogonal_or_uniform(getkey):
    layer = Convolutional((10, 10, 4), key=getkey()).layers[0]
    rows = np.asarray(layer.weight).reshape(16, -1)
    assert_close(rows @ rows.T, 2 * np.eye(16), atol=1e-5)
    assert not np.any(layer.bias)
    layer = Convolutional((10, 10, 4), orthogonal=False, key=getkey()).layers[0]
    assert 0.5 / 6 < jnp.abs(layer.weight).max() <= 1 / 6
    assert np.any(layer.bias)


def test_gradients_are_finite_and_reach_every_weight(getkey):
    element = {
        "z": jnp.array(0),
        "a": (jnp.ones(3), jnp.array([0, 1], jnp.int8)),
        "m": jax.random.uniform(getkey(), (10, 10, 4)),
    }

    @fast_jit
    def slope(key):
        network = Encoder(TREE, 2, (8,), key=key)
        return jax.tree.leaves(eqx.filter_grad(lambda network: network(element).sum())(network))

    for leaf in slope(getkey()):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


def test_parts_draw_different_kernels_and_no_key_is_used_twice():
    pair = kinds.Tuple((MINATAR, MINATAR))
    with jax.debug_key_reuse(True):
        torso = fast_jit(lambda key: Encoder(pair, 2, (), key=key).torso)(jax.random.key(0))
    one, other = (part.layers[0].weight for part in torso.parts)
    assert not np.allclose(one, other)


def test_misuse_is_answered():
    with pytest.raises(TypeError, match="no fixed shape"):
        Encoder(kinds.Text(3), 1, key=jax.random.key(0))
    with pytest.raises(ValueError, match="height, width and channels"):
        Convolutional((5, 5), key=jax.random.key(0))
    with pytest.raises(ValueError, match="at least 3; got 2 and 5"):
        Convolutional((2, 5, 1), key=jax.random.key(0))
    with pytest.raises(TypeError, match=r"one image has shape \(5, 5, 1\); got \(5, 5, 2\)"):
        Convolutional((5, 5, 1), orthogonal=False, key=jax.random.key(0))(jnp.zeros((5, 5, 2)))
    with pytest.raises(TypeError, match="has the parts"):
        Encoder(TREE, 1, orthogonal=False, key=jax.random.key(0))({"z": jnp.array(0)})
