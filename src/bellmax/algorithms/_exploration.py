"""Where actions lie, and noise on them."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from .._core import Masked, RealScalarLike
from ..policies import add_gaussian_noise, categorical, ornstein_uhlenbeck
from ._heads import num_actions

if TYPE_CHECKING:
    from gymnasium import Space

NOISES = ("gaussian", "ornstein-uhlenbeck")


class ActionBox(eqx.Module):
    """The bounds of actions; policies and critics see them at −1 and 1.

    Attributes:
        low: In the units of the action.
        high: Likewise, above `low`.
    """

    low: Float[Array, " action_dim"]
    high: Float[Array, " action_dim"]

    @classmethod
    def of(cls, space: "Space[Any]") -> "ActionBox":
        """Takes the bounds of a space.

        Raises:
            TypeError: If it is not a Box of one axis.
            ValueError: If bounds are infinite, or leave no room.
        """
        from gymnasium import spaces

        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise TypeError(f"actions must be a Box with one axis; got {space}")
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        width = high - low
        if not np.isfinite(width).all():
            raise ValueError(f"actions must have finite bounds; got {space}: bound them in the environment")
        if not (width > 0).all():
            raise ValueError(f"every dimension of an action needs room between its bounds; got {space}")
        return cls(jnp.asarray(low), jnp.asarray(high))

    @property
    def centre(self) -> Float[Array, " action_dim"]:
        """What policies and critics see at 0."""
        return self.low + self.half_width

    @property
    def half_width(self) -> Float[Array, " action_dim"]:
        """From the centre to a bound."""
        return (self.high - self.low) / 2

    @property
    def size(self) -> int:
        """Number of dimensions."""
        return self.low.size

    def random(self, observation: PyTree[Array], key: Key[Array, ""]) -> Float[Array, " action_dim"]:
        """Draws an action uniformly, in [−1, 1]."""
        del observation
        return jax.random.uniform(key, self.low.shape, self.low.dtype, -1.0, 1.0)

    def widened(self, action: Float[Array, " action_dim"]) -> Float[Array, " action_dim"]:
        """Brings an action from [−1, 1] to the units of the environment, never outside the bounds."""
        return jnp.clip(self.centre + self.half_width * action, self.low, self.high)

    def scaled(self, action: Float[Array, " action_dim"]) -> Float[Array, " action_dim"]:
        """Brings an action from the units of the environment to [−1, 1]."""
        return (action - self.centre) / self.half_width


class Options(eqx.Module):
    """Actions that are one of n.

    Attributes:
        size: n.
    """

    size: int = eqx.field(static=True)

    @classmethod
    def of(cls, space: "Space[Any]") -> "Options":
        """Counts the actions of a space; TypeError if it is not Discrete."""
        from gymnasium import spaces

        if not isinstance(space, spaces.Discrete):
            raise TypeError(f"actions must be Discrete; got {space}")
        return cls(num_actions(space))

    def random(self, observation: PyTree[Array], key: Key[Array, ""]) -> Int[Array, ""]:
        """Draws uniformly among the actions that the mask beside the observation allows."""
        return categorical(jnp.zeros(self.size), mask=Masked.of(observation).action_mask).sample(seed=key)

    def widened(self, action: Int[Array, ""]) -> Int[Array, ""]:
        """Returns the action as it is."""
        return action

    def scaled(self, action: Int[Array, ""]) -> Int[Array, ""]:
        """Returns the action as it is."""
        return action


def noise_memory(noise: str, size: int) -> PyTree[Array]:
    """Returns what a noise remembers at the start of an episode: nothing, or its own last value."""
    return jnp.zeros(size) if noise == "ornstein-uhlenbeck" else None


def noisy(
    action: Float[Array, " action_dim"],
    memory: PyTree[Array],
    noise: str,
    stddev: RealScalarLike,
    theta: RealScalarLike,
    *,
    key: Key[Array, ""],
) -> tuple[Float[Array, " action_dim"], PyTree[Array]]:
    r"""Adds noise to an action.

    Independent in each step (`gaussian`), or with inertia (`ornstein-uhlenbeck`):

    $$x_{t+1} = (1 - \theta)\,x_t + \sigma\varepsilon$$

    Args:
        action: In [−1, 1].
        memory: $x_t$; None for independent noise.
        noise: Its kind, one of `NOISES`.
        stddev: $\sigma$, in halves of the range.
        theta: $\theta$.
        key: Randomness of the step.

    Returns:
        The action with noise, inside [−1, 1], and the memory.
    """
    if noise == "gaussian":
        return add_gaussian_noise(action, stddev, key=key, low=-1.0, high=1.0), memory
    memory = ornstein_uhlenbeck(memory, key=key, theta=theta, sigma=stddev)
    return jnp.clip(action + memory, -1.0, 1.0), memory
