"""Observations of any structure as one vector."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from ..._core import Masked, example, flatten_to_vector
from .._protocol import AbstractEnvironment
from ._wrapper import AbstractObservationWrapper

if TYPE_CHECKING:
    from gymnasium import Space


class FlattenObservation(AbstractObservationWrapper):
    """Shows observations as one vector, in the order of `gymnasium.spaces.flatten`.

    Choices become one-hot, parts of a Dict or a Tuple are joined. A Box alone keeps its type, everything else becomes
    floating point. A choice outside its range becomes NaN.

    Attributes:
        environment: The one inside; its observations are a Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or
            Tuple of those.
    """

    environment: AbstractEnvironment

    def __check_init__(self):
        example(Masked.of(self.environment.spaces.observation).observation)  # the error says what is not possible

    def observation_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the Box of the vectors."""
        from gymnasium import spaces

        box = spaces.flatten_space(space)
        assert isinstance(box, spaces.Box)
        dtype = _dtype(space)
        with np.errstate(over="ignore"):  # what is too large for the type is no bound
            low, high = box.low.astype(dtype), box.high.astype(dtype)
        return spaces.Box(low, high, dtype=dtype.type)

    def first(self, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Array]:
        """Flattens the first observation."""
        del key
        return (), self._flatten(observation)

    def following(self, own: Any, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Array]:
        """Flattens a later observation."""
        del key
        return own, self._flatten(observation)

    def _flatten(self, observation: PyTree[Array]) -> Array:
        space = Masked.of(self.environment.spaces.observation).observation
        return flatten_to_vector(space, observation, _dtype(space))


def _dtype(space: "Space[Any]") -> np.dtype:
    from gymnasium import spaces

    return example(space).dtype if isinstance(space, spaces.Box) else jnp.zeros(()).dtype
