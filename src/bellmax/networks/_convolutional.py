"""Convolutions over images."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

_LARGE = 36
"""Height and width from which on the three layers for Atari are used: the least that they leave something of."""
_ATARI = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
_SMALL = ((16, 3, 1),)
"""Channels, width of the kernel and stride of each layer."""


class Convolutional(eqx.Module):
    """Maps an image to a vector of features, by convolutions with rectifiers.

    Images of at least 36 by 36 pixels get the three layers of the first deep Q-network, smaller ones a single layer of
    16 kernels of 3 by 3, as those of MinAtar.

    The axes are height, width and whatever is left, which counts as channels: a stack of coloured images may have four
    axes. A first axis shorter than both that follow is taken for the channels instead.

    Attributes:
        layers: The convolutions.
        unit: What the numbers of an image are divided by.

    Example:
        >>> network = Convolutional((5, 5, 3), 255.0, orthogonal=False, key=jax.random.key(0))
        >>> network(jnp.zeros((5, 5, 3), jnp.uint8)).shape
        (144,)

    References:
        Mnih et al., *Human-level control through deep reinforcement learning*, 2015. Young and Tian, *MinAtar*, 2019,
        arXiv:1903.03176.
    """

    layers: tuple[eqx.nn.Conv2d, ...]
    shape: tuple[int, ...] = eqx.field(static=True)
    unit: float = eqx.field(static=True)

    def __init__(self, shape: tuple[int, ...], unit: float = 1.0, *, orthogonal: bool = True, key: Key[Array, ""]):
        """Draws the kernels.

        Args:
            shape: Shape of an image.
            unit: What its numbers are divided by, such as 255.
            orthogonal: Whether kernels are orthogonal, with a gain of √2, and biases zero; else both are uniform in
                ±1/√inputs.
            key: Randomness of the kernels.
        """
        if len(shape) < 3:
            raise ValueError(f"Convolutional: an image has height, width and channels; got shape {shape}")
        channels, height, width = _channels_first(np.broadcast_to(0, shape)).shape
        if min(height, width) < 3:
            raise ValueError(f"Convolutional: height and width must be at least 3; got {height} and {width}")
        plan = _ATARI if min(height, width) >= _LARGE else _SMALL
        layers = []
        for (size, kernel, stride), one in zip(plan, jax.random.split(key, len(plan)), strict=True):
            layer_key, weight_key = jax.random.split(one)
            layer = eqx.nn.Conv2d(channels, size, kernel, stride, key=layer_key)
            layers.append(_orthogonal(layer, weight_key) if orthogonal else layer)
            channels = size
        self.layers = tuple(layers)
        self.shape = tuple(shape)
        self.unit = unit

    def __call__(self, image: Shaped[Array, "..."]) -> Float[Array, " features"]:
        """Maps one image to its features."""
        if image.shape != self.shape:
            raise TypeError(f"Convolutional: one image has shape {self.shape}; got {image.shape}")
        x = _channels_first(image).astype(float) / self.unit
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return jnp.ravel(x)


def spatial_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns which axes of an image are height and width; the others are channels."""
    return (1, 2) if shape[0] < min(shape[1:3]) else (0, 1)


def _channels_first(image):
    """Brings an image to the axes channels, height, width."""
    spatial = spatial_axes(image.shape)
    height, width = (image.shape[axis] for axis in spatial)
    rest = (axis for axis in range(image.ndim) if axis not in spatial)
    return image.transpose(*rest, *spatial).reshape(-1, height, width)


def _orthogonal(layer: eqx.nn.Conv2d, key: Key[Array, ""]) -> eqx.nn.Conv2d:
    weight, bias = layer.weight, layer.bias
    assert bias is not None
    rows = jax.nn.initializers.orthogonal(2**0.5)(key, (weight.shape[0], math.prod(weight.shape[1:])), weight.dtype)
    return eqx.tree_at(
        lambda layer: (layer.weight, layer.bias), layer, (rows.reshape(weight.shape), jnp.zeros_like(bias))
    )
