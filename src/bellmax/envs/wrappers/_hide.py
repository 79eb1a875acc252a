"""Observations of which a part is hidden."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._protocol import AbstractEnvironment
from ._wrapper import AbstractObservationWrapper

if TYPE_CHECKING:
    from gymnasium import Space


class HideObservation(AbstractObservationWrapper):
    """Shows zero in place of some numbers of an observation: without its velocities, a system must be remembered.

    Attributes:
        environment: The one inside; its observations are a Box with one axis.
        hidden: Places of the numbers that are hidden.
    """

    environment: AbstractEnvironment
    hidden: tuple[int, ...] = eqx.field(static=True)

    def observation_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space, with zero for both bounds where something is hidden.

        Raises:
            TypeError: If the space is no Box with one axis.
            ValueError: If a place is outside it, or named twice.
        """
        from gymnasium import spaces

        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise TypeError(f"HideObservation: observations must be a Box with one axis; got {space}")
        places, size = sorted(self.hidden), space.shape[0]
        if len({*places}) < len(places) or not all(0 <= place < size for place in places):
            raise ValueError(
                f"HideObservation: hidden must name places from 0 to {size - 1}, each once; got {self.hidden}"
            )
        low, high = (np.where(self._is_hidden(size), 0, bound) for bound in (space.low, space.high))
        return spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)

    def first(self, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Hides a part of the first observation."""
        del key
        return (), self._hide(observation)

    def following(self, own: Any, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Hides the same part of a later one."""
        del key
        return own, self._hide(observation)

    def _is_hidden(self, size: int) -> np.ndarray:
        return np.isin(np.arange(size), self.hidden)

    def _hide(self, observation: Array) -> Array:
        return jnp.where(self._is_hidden(observation.shape[0]), jnp.zeros_like(observation), observation)
