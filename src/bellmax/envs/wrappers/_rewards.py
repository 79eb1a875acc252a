"""Rewards in other units."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._core import RealScalarLike
from .._protocol import AbstractEnvironment
from ._wrapper import AbstractRewardWrapper


class ClipReward(AbstractRewardWrapper):
    """Pays no less and no more than two bounds.

    Attributes:
        environment: The one inside.
        low: The least, in the units of the reward.
        high: The most.
    """

    environment: AbstractEnvironment
    low: RealScalarLike = -1.0
    high: RealScalarLike = 1.0

    def reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """Clips a reward; NaN stays."""
        return jnp.clip(reward, self.low, self.high)


class TransformReward(AbstractRewardWrapper):
    """Pays what a function makes of the reward.

    Attributes:
        environment: The one inside.
        function: From a reward to a number; `jnp.sign`, say.
    """

    environment: AbstractEnvironment
    function: Callable[[Float[Array, ""]], Float[Array, ""]]

    def __check_init__(self):
        if not callable(self.function):
            raise TypeError(f"TransformReward: function must map a reward to a number; got {self.function!r}")

    def reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """Transforms a reward."""
        return self.function(reward)
