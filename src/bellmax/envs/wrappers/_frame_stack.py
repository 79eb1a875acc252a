"""The last few observations as one."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, Shaped

from ..._core import Masked, example
from .._protocol import AbstractEnvironment
from ._wrapper import AbstractObservationWrapper

if TYPE_CHECKING:
    from gymnasium import Space


class FrameStack(AbstractObservationWrapper):
    """Shows the last observations together, along a new last axis, the newest last.

    At the start of an episode the first observation fills all places. A grey image of shape (84, 84) becomes
    (84, 84, count), which the default networks read as channels.

    Attributes:
        environment: The one inside; its observations are a Box.
        count: How many observations.

    Example:
        >>> from bellmax import envs
        >>> FrameStack(envs.Chain(length=3), 4).spaces.observation.shape
        (3, 4)

    References:
        Mnih et al., *Human-level control through deep reinforcement learning*, 2015.
    """

    environment: AbstractEnvironment
    count: int = eqx.field(static=True)

    def __check_init__(self):
        from gymnasium import spaces

        if self.count < 1:
            raise ValueError(f"FrameStack: count must be at least 1; got {self.count}")
        space = Masked.of(self.environment.spaces.observation).observation
        if not isinstance(space, spaces.Box):
            raise TypeError(
                f"FrameStack: observations must be a Box; got {space}: put FlattenObservation inside, as in "
                "FrameStack(FlattenObservation(environment), count)"
            )

    def observation_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the Box with its bounds repeated."""
        from gymnasium import spaces

        assert isinstance(space, spaces.Box)
        dtype = example(space).dtype
        low, high = (
            np.repeat(bound[..., None], self.count, axis=-1).astype(dtype) for bound in (space.low, space.high)
        )
        return spaces.Box(low, high, dtype=dtype.type)

    def first(self, observation: Array, *, key: Key[Array, ""]) -> tuple[Array, Array]:
        """Fills all places with the first observation."""
        del key
        stack: Shaped[Array, "*shape count"] = jnp.repeat(observation[..., None], self.count, axis=-1)
        return stack, stack

    def following(self, own: Array, observation: Array, *, key: Key[Array, ""]) -> tuple[Array, Array]:
        """Drops the oldest."""
        del key
        stack = jnp.concatenate([own[..., 1:], observation[..., None]], axis=-1)
        return stack, stack
