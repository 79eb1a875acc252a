"""Adapter for XLand-MiniGrid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._core import Spaces
from ._adapter import AbstractAdapter, Fixed, raw_key, settled, spaces_of
from ._protocol import Step
from ._registry import unknown
from ._timestep import step_of

if TYPE_CHECKING:
    from gymnasium import Space

_SIZES = {
    1: (9, 11, 13, 15, 17),
    2: (9, 11, 13, 15, 17),
    4: (9, 11, 13, 15, 17),
    6: (13, 17, 19),
    9: (16, 19, 25),
}
_MINIGRIDS = (
    "BlockedUnlockPickUp DoorKey-5x5 DoorKey-6x6 DoorKey-8x8 DoorKey-16x16 Empty-5x5 Empty-6x6 Empty-8x8 Empty-16x16 "
    "EmptyRandom-5x5 EmptyRandom-6x6 EmptyRandom-8x8 EmptyRandom-16x16 FourRooms LockedRoom MemoryS8 MemoryS16 "
    "MemoryS32 MemoryS64 MemoryS128 Playground Unlock UnlockPickUp"
)
# What xminigrid 0.9 registers, so that naming them needs no import of it.
XMINIGRID_NAMES = (
    *(f"MiniGrid-{name}" for name in _MINIGRIDS.split()),
    *(f"XLand-MiniGrid-R{rules}-{size}x{size}" for rules, sizes in _SIZES.items() for size in sizes),
)


class XMiniGridEnvironment(AbstractAdapter):
    """An XLand-MiniGrid environment.

    The observation is the grid of cells in view, the kind and the colour of each as one of so many. The last step of an
    episode terminated where its discount is zero, and was truncated otherwise.

    Attributes:
        parameters: The environment's `EnvParams`; a rule set is among its leaves.
    """

    parameters: Any
    _fixed: Fixed = eqx.field(static=True)

    @classmethod
    def of(cls, env: Any, parameters: Any = None) -> "XMiniGridEnvironment":
        """Adapts an environment.

        Args:
            env: A `xminigrid.environment.Environment`.
            parameters: Its `EnvParams`; None for its own defaults.

        Returns:
            The environment behind the library's protocol.

        Raises:
            TypeError: If what it shows does not fit its spaces.
        """
        parameters = env.default_params() if parameters is None else parameters
        name = f"xminigrid's {type(env).__name__}"
        spaces = spaces_of(name, lambda: _spaces(env, parameters))
        return settled(cls(parameters, Fixed(env, spaces, name)))

    @classmethod
    def named(cls, name: str, **settings) -> "XMiniGridEnvironment":
        """Makes a registered environment.

        Args:
            name: Such as `MiniGrid-Empty-8x8`.
            **settings: Parameters of the environment, such as `max_steps=100`.

        Returns:
            The environment.
        """
        import xminigrid  # pyright: ignore[reportMissingImports]

        if name not in xminigrid.registered_environments():
            raise unknown("xminigrid/", name, xminigrid.registered_environments())
        return cls.of(*xminigrid.make(name, **settings))

    def _begin(self, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        timestep = self._fixed.env.reset(self.parameters, raw_key(key))
        return timestep, timestep.observation

    def _advance(self, state: Any, action: PyTree[Array], key: Key[Array, ""]) -> tuple[Any, Step]:
        del key  # what is random in a step comes from the state
        timestep = self._fixed.env.step(self.parameters, state, action)
        return timestep, step_of(timestep, timestep.observation, {})

    def frames(self, states: Sequence[Any]) -> list[np.ndarray]:
        """Draws states."""
        parameters = self.parameters.replace(render_mode="rgb_array")
        return [np.asarray(self._fixed.env.render(parameters, state), np.uint8) for state in states]


def _spaces(env: Any, parameters: Any) -> Spaces:
    from gymnasium import spaces
    from xminigrid.core.constants import NUM_COLORS, NUM_TILES  # pyright: ignore[reportMissingImports]

    def observation(shape: Any) -> "Space[Any]":
        if isinstance(shape, dict):
            return spaces.Dict({name: observation(part) for name, part in shape.items()})
        if len(shape) == 3 and shape[-1] == 2:
            return spaces.MultiDiscrete(np.broadcast_to([NUM_TILES, NUM_COLORS], shape), dtype=np.uint8)
        raise NotImplementedError(f"an observation of shape {shape} is no grid of kinds and colours")

    shown = observation(env.observation_shape(parameters))
    return Spaces(shown, spaces.Discrete(int(env.num_actions(parameters))))
