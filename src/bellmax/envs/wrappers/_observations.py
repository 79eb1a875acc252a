"""Observations that are disturbed."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from ..._core import RealScalarLike, guard
from .._protocol import AbstractEnvironment
from ._boxes import without_bounds
from ._wrapper import AbstractObservationWrapper

if TYPE_CHECKING:
    from gymnasium import Space


class ObservationNoise(AbstractObservationWrapper):
    """Adds Gaussian noise to every number of an observation that is floating point.

    The noise is drawn once a step: what a step shows as the successor is what the policy sees next. It is not clipped,
    so the space has no bounds where there is noise. Whole numbers and booleans are left alone.

    Attributes:
        environment: The one inside.
        scale: Standard deviation, in the units of the observation.
    """

    environment: AbstractEnvironment
    scale: RealScalarLike = 0.1

    def __check_init__(self):
        guard(self.scale, lambda scale: scale >= 0, "ObservationNoise: scale must not be negative")

    def observation_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space without bounds."""
        return without_bounds(space)

    def first(self, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Disturbs the first observation."""
        return (), self._disturb(observation, key)

    def following(self, own: Any, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Disturbs a later observation."""
        return own, self._disturb(observation, key)

    def _disturb(self, observation, key):
        leaves, structure = jax.tree.flatten(observation)
        keys = jax.random.split(key, len(leaves))

        def disturb(leaf, key):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                return leaf
            return leaf + jnp.asarray(self.scale, leaf.dtype) * jax.random.normal(key, leaf.shape, leaf.dtype)

        return structure.unflatten([disturb(leaf, key) for leaf, key in zip(leaves, keys, strict=True)])


class ObservationDelay(AbstractObservationWrapper):
    """Shows what there was some steps ago; at the start of an episode, the first observation.

    Episodes end when they end, not later: the last observations of an episode are never shown.

    Attributes:
        environment: The one inside.
        steps: By how many steps; 0 for none.
    """

    environment: AbstractEnvironment
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.steps < 0:
            raise ValueError(f"ObservationDelay: steps must not be negative; got {self.steps}")

    def observation_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space as it is."""
        return space

    def first(self, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[PyTree[Array], PyTree[Array]]:
        """Shows the first observation, and will for as long as the delay."""
        del key
        waiting = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], self.steps, axis=0), observation)
        return waiting, observation

    def following(
        self, own: PyTree[Array], observation: PyTree[Array], *, key: Key[Array, ""]
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        """Shows the oldest observation that waits."""
        del key
        line = jax.tree.map(lambda waiting, leaf: jnp.concatenate([waiting, leaf[None]]), own, observation)
        return jax.tree.map(lambda leaf: leaf[1:], line), jax.tree.map(lambda leaf: leaf[0], line)
