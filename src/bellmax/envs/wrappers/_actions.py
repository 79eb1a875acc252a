"""Continuous actions in other bounds."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from ..._core import clip_to
from .._protocol import AbstractEnvironment
from ._boxes import bounds, without_bounds
from ._wrapper import AbstractActionWrapper

if TYPE_CHECKING:
    from gymnasium import Space


class RescaleAction(AbstractActionWrapper):
    """Takes actions between two numbers and stretches them over the bounds of the environment inside.

    An action outside the two numbers counts as the nearer of them.

    Attributes:
        environment: The one inside; its actions are a Box with finite bounds.
        low: The number that means the lower bounds.
        high: The number that means the upper bounds.
    """

    environment: AbstractEnvironment
    low: float = eqx.field(static=True, default=-1.0)
    high: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not np.isfinite(self.high - self.low) or self.low >= self.high:
            raise ValueError(f"RescaleAction: low must be below high, both finite; got {self.low} and {self.high}")
        bounds(self.environment.spaces.action, "RescaleAction")

    def action_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the Box between the two numbers."""
        from gymnasium import spaces

        return spaces.Box(self.low, self.high, space.shape, np.float32)

    def translate(self, action: Float[Array, "..."], *, key: Key[Array, ""]) -> Float[Array, "..."]:
        """Stretches an action."""
        del key
        low, high = bounds(self.environment.spaces.action, "RescaleAction")
        share = jnp.clip((action - self.low) / (self.high - self.low), 0, 1)
        return jnp.clip(low + (high - low) * share, low, high).astype(action.dtype)


class ClipAction(AbstractActionWrapper):
    """Takes any number and brings it inside the bounds of the environment inside.

    Attributes:
        environment: The one inside; every Box of floating point in its action space loses its bounds outside.
    """

    environment: AbstractEnvironment

    def action_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space without bounds."""
        return without_bounds(space)

    def translate(self, action: PyTree[Array], *, key: Key[Array, ""]) -> PyTree[Array]:
        """Clips an action."""
        del key
        return clip_to(self.environment.spaces.action, action)


class BoxToReals(AbstractActionWrapper):
    r"""Takes vectors of any real numbers and squeezes them into the Box of the environment inside.

    $$a = l + (h - l)\,\sigma(x)$$

    It is what `bellmax.transforms.reals_to_box` computes. A policy that acts through this wrapper has the density of
    $x$: ratios of probabilities are those of the actions, entropies are not.

    Attributes:
        environment: The one inside; its actions are a Box with finite bounds, of any shape.
    """

    environment: AbstractEnvironment

    def __check_init__(self):
        bounds(self.environment.spaces.action, "BoxToReals")

    def action_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns vectors of reals, one an element of the Box."""
        from gymnasium import spaces

        assert isinstance(space, spaces.Box)
        return spaces.Box(-np.inf, np.inf, (int(np.prod(space.shape)),), np.float32)

    def translate(self, action: Float[Array, " n"], *, key: Key[Array, ""]) -> Float[Array, "..."]:
        """Squeezes an action, from the nearer bound, so that rounding never leads outside."""
        del key
        low, high = bounds(self.environment.spaces.action, "BoxToReals")
        x = action.reshape(low.shape)
        below = x < 0
        step = (high - low) * jax.nn.sigmoid(jnp.where(below, x, -x))
        return jnp.clip(jnp.where(below, low + step, high - step), low, high).astype(action.dtype)
