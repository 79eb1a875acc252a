"""Multi-layer perceptrons as reinforcement learning initialises them."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree


class MLP(eqx.Module):
    r"""A multi-layer perceptron, initialised as policies or as action values want it.

    $$h_0 = x, \qquad h_{i+1} = \sigma(W_i h_i + b_i), \qquad y = W_n h_n + b_n$$

    With layer norm σ sees $W_i h_i + b_i$ brought to mean 0 and variance 1 over its units, then scaled and shifted by
    learned numbers.

    The observation may be a tree: its leaves are flattened and joined. The input of the whole is what `example` shows.

    Attributes:
        layers: The affine maps.
        norms: What is between an affine map and σ, one a hidden layer; none without layer norm.
        activation: σ, between layers.

    Example:
        >>> network = MLP(jnp.zeros(4), 2, key=jax.random.key(0))
        >>> network(jnp.ones(4)).shape
        (2,)

    References:
        Ba, Kiros and Hinton, *Layer Normalization*, 2016, arXiv:1607.06450. Andrychowicz et al., *What Matters In
        On-Policy Reinforcement Learning?*, 2020, arXiv:2006.05990, on the scale of the last layer.
    """

    layers: tuple[eqx.nn.Linear, ...]
    norms: tuple[eqx.nn.LayerNorm, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        example: PyTree[Array],
        size: int,
        hidden_sizes: Sequence[int] = (64, 64),
        *,
        activation: Callable[[Array], Array] = jnp.tanh,
        last_scale: float | Sequence[float] = 1.0,
        orthogonal: bool = True,
        layer_norm: bool = False,
        key: Key[Array, ""],
    ):
        """Draws the weights.

        Args:
            example: An observation, for its shapes.
            size: Number of outputs.
            hidden_sizes: Width of each hidden layer.
            activation: σ.
            last_scale: Gain of the last layer's orthogonal weights, one for all outputs or one each; √2 everywhere
                else.
            orthogonal: Whether weights are orthogonal and biases zero, as policy gradients want it; else both are
                uniform in ±1/√inputs. Temporal differences want the latter: they must fit values far from zero out of
                observations near zero, which features without a constant part do only by the last bias.
            layer_norm: Whether hidden layers are normalised before σ.
            key: Randomness of the weights.
        """
        inputs = sum(leaf.size for leaf in jax.tree.leaves(example))
        sizes = (inputs, *hidden_sizes, size)
        if min(sizes) < 1:
            raise ValueError(f"MLP: every layer needs at least one unit; got sizes {sizes}, the input's first")
        gains = (*(2**0.5 for _ in hidden_sizes), last_scale)
        keys = jax.random.split(key, len(gains))
        self.layers = tuple(
            _orthogonal(before, after, gain, key) if orthogonal else eqx.nn.Linear(before, after, key=key)
            for before, after, gain, key in zip(sizes[:-1], sizes[1:], gains, keys, strict=True)
        )
        self.norms = tuple(eqx.nn.LayerNorm(width) for width in hidden_sizes) if layer_norm else ()
        self.activation = activation

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " size"]:
        """Maps one observation to the outputs."""
        features = _flatten(observation)
        if features.size != self.layers[0].in_features:
            shapes = [leaf.shape for leaf in jax.tree.leaves(observation)]
            raise TypeError(f"MLP: one observation has {self.layers[0].in_features} numbers; got shapes {shapes}")
        for depth, layer in enumerate(self.layers[:-1]):
            features = _affine(layer, features)
            features = self.activation(self.norms[depth](features) if self.norms else features)
        return _affine(self.layers[-1], features)


def _affine(layer: eqx.nn.Linear, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
    """Applies an affine map, such that the gradient of its weights over a batch is cheap on a CPU.

    That gradient is a product of two matrices summed over the batch, and the first of the two is transposed on the way.
    With the weights as they lie the first is what flows back, which in a layer that widens is the larger one, and takes
    three times as long: there the product is made the other way round. Layers of other kinds, noisy ones say, are left
    alone.
    """
    outputs, inputs = layer.weight.shape
    if type(layer) is not eqx.nn.Linear or inputs >= outputs or jax.default_backend() != "cpu":
        return layer(x)
    y = x @ jax.lax.optimization_barrier(layer.weight.T)
    return y if layer.bias is None else y + layer.bias


def _flatten(observation: PyTree[Array]) -> Float[Array, " features"]:
    leaves = [jnp.ravel(leaf).astype(float) for leaf in jax.tree.leaves(observation)]
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves)


def _orthogonal(inputs: int, outputs: int, gain: float | Sequence[float], key: Key[Array, ""]) -> eqx.nn.Linear:
    layer_key, weight_key = jax.random.split(key)
    layer = eqx.nn.Linear(inputs, outputs, key=layer_key)
    scale = jnp.reshape(jnp.asarray(gain, layer.weight.dtype), (-1, 1))
    weight = scale * jax.nn.initializers.orthogonal(1.0)(weight_key, (outputs, inputs), layer.weight.dtype)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, jnp.zeros(outputs, weight.dtype)))
