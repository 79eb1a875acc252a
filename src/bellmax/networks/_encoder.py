"""Networks for observations of any space."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Key, PyTree, Shaped

from .._core import example, one_hot
from ._convolutional import Convolutional, spatial_axes
from ._mlp import MLP

if TYPE_CHECKING:
    from gymnasium import Space


class Encoder(eqx.Module):
    """A multi-layer perceptron behind what makes a vector of an observation.

    What becomes of an observation depends on its space:

    - A Box with three axes or more, whose height and width are at least 3, is an image: `Convolutional`. Bytes are
      divided by the largest of the space, as a rule 255. Any other Box is taken as it is, and with `convolution` off
      so are images, as vectors.
    - Discrete and MultiDiscrete become one-hot vectors; a choice outside its range becomes NaN.
    - MultiBinary becomes numbers.
    - The parts of a Dict, by the order of their names, or of a Tuple are joined.

    Without images it draws the same weights as an `MLP` of the same key.

    Attributes:
        torso: Maps an observation to a vector.
        mlp: Maps the vector to the outputs.

    Example:
        >>> from gymnasium import spaces
        >>> space = spaces.Dict({"board": spaces.Box(0, 1, (10, 10, 4)), "turn": spaces.Discrete(2)})
        >>> network = Encoder(space, 3, orthogonal=False, key=jax.random.key(0))
        >>> network({"board": jnp.zeros((10, 10, 4)), "turn": jnp.array(1)}).shape
        (3,)
    """

    torso: Callable[[PyTree[Array]], Float[Array, " features"]]
    mlp: MLP

    def __init__(
        self,
        space: "Space[Any]",
        size: int,
        hidden_sizes: Sequence[int] = (64, 64),
        *,
        activation: Callable[[Array], Array] = jnp.tanh,
        last_scale: float | Sequence[float] = 1.0,
        orthogonal: bool = True,
        layer_norm: bool = False,
        convolution: bool = True,
        key: Key[Array, ""],
    ):
        """Draws the weights; TypeError for a space without a fixed shape.

        Args:
            space: Of the observations, from `gymnasium.spaces`.
            size: Number of outputs.
            hidden_sizes: Width of each hidden layer of the perceptron.
            activation: Nonlinearity of the perceptron.
            last_scale: Gain of the last layer's orthogonal weights, one for all outputs or one each.
            orthogonal: Whether weights are orthogonal and biases zero, or both uniform; see `MLP`.
            layer_norm: Whether the perceptron's hidden layers are normalised.
            convolution: Whether images pass through a convolution; small ones cost far less without.
            key: Randomness of the weights.
        """
        shown = example(space)
        mlp_key = key
        if convolution and _has_image(space):
            key, mlp_key = jax.random.split(key)
        self.torso = _torso(space, orthogonal=orthogonal, convolution=convolution, key=key)
        features = jnp.zeros(eqx.filter_eval_shape(self.torso, shown).shape)
        self.mlp = MLP(
            features,
            size,
            hidden_sizes,
            activation=activation,
            last_scale=last_scale,
            orthogonal=orthogonal,
            layer_norm=layer_norm,
            key=mlp_key,
        )

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " size"]:
        """Maps one observation to the outputs."""
        return self.mlp(self.torso(observation))


class _Flat(eqx.Module):
    """Takes numbers as they are, or in a unit."""

    unit: float = eqx.field(static=True, default=1.0)

    def __call__(self, x: Shaped[Array, "..."]) -> Float[Array, " features"]:
        return jnp.ravel(x).astype(float) / self.unit


class _OneHot(eqx.Module):
    """Makes one-hot vectors of choices."""

    sizes: tuple[int, ...] = eqx.field(static=True)
    starts: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, choice: Integer[Array, "..."]) -> Float[Array, " features"]:
        return one_hot(jnp.ravel(choice), self.sizes, self.starts)


class _Joined(eqx.Module):
    """Joins the vectors of parts, a dict or a tuple."""

    parts: Any

    def __call__(self, observation: Any) -> Float[Array, " features"]:
        names = sorted(self.parts) if isinstance(self.parts, dict) else range(len(self.parts))
        if len(observation) != len(self.parts):
            raise TypeError(f"Encoder: an observation has the parts {[*names]}; got {len(observation)} parts")
        return jnp.concatenate([self.parts[name](observation[name]) for name in names])


def _is_image(space: "Space[Any]") -> bool:
    from gymnasium import spaces

    if not isinstance(space, spaces.Box) or len(space.shape) < 3:
        return False
    return min(space.shape[axis] for axis in spatial_axes(space.shape)) >= 3


def _has_image(space: "Space[Any]") -> bool:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict | spaces.Tuple):
        return any(map(_has_image, space.values() if isinstance(space, spaces.Dict) else space))
    return _is_image(space)


def _torso(space: "Space[Any]", *, orthogonal: bool, convolution: bool, key: Key[Array, ""]) -> Callable:
    """Makes what turns an element of a space into a vector."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict | spaces.Tuple):
        keys = jax.random.split(key, max(len(space), 1))
        made = functools.partial(_torso, orthogonal=orthogonal, convolution=convolution)
        if isinstance(space, spaces.Tuple):
            return _Joined(tuple(made(part, key=one) for part, one in zip(space, keys, strict=True)))
        names = sorted(space)
        return _Joined({name: made(space[name], key=one) for name, one in zip(names, keys, strict=True)})
    if isinstance(space, spaces.Discrete):
        return _OneHot((int(space.n),), (int(space.start),))
    if isinstance(space, spaces.MultiDiscrete):
        return _OneHot(tuple(map(int, space.nvec.ravel())), tuple(map(int, space.start.ravel())))
    if _is_image(space):
        assert isinstance(space, spaces.Box)
        unit = max(float(np.max(space.high)), 1.0) if space.dtype == np.uint8 else 1.0
        return Convolutional(space.shape, unit, orthogonal=orthogonal, key=key) if convolution else _Flat(unit)
    return _Flat()
