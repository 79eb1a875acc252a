"""Adapter for jumanji."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._core import Spaces
from ._adapter import AbstractAdapter, Fixed, raw_key, settled, spaces_of
from ._clock import ClockedState
from ._protocol import Step
from ._registry import unknown
from ._timestep import step_of

if TYPE_CHECKING:
    from gymnasium import Space

# What jumanji 1.1 registers, so that naming them needs no import of jumanji.
JUMANJI_NAMES = (
    "BinPack-v2",
    "CVRP-v1",
    "Cleaner-v0",
    "Connector-v3",
    "FlatPack-v0",
    "Game2048-v1",
    "GraphColoring-v1",
    "JobShop-v0",
    "Knapsack-v1",
    "LevelBasedForaging-v0",
    "MMST-v0",
    "Maze-v0",
    "Minesweeper-v0",
    "MultiCVRP-v0",
    "PacMan-v1",
    "RobotWarehouse-v0",
    "RubiksCube-partly-scrambled-v0",
    "RubiksCube-v0",
    "SearchAndRescue-v0",
    "SlidingTilePuzzle-v0",
    "Snake-v1",
    "Sokoban-v0",
    "Sudoku-v0",
    "Sudoku-very-easy-v0",
    "TSP-v1",
    "Tetris-v0",
)


class JumanjiEnvironment(AbstractAdapter):
    """A jumanji environment. Its observation's fields, the action mask among them, become the entries of a Dict space.

    The last step of an episode terminated where its discount is zero, and was truncated otherwise. Most of jumanji's
    own environments report their time limit as a discount of zero; here it is a truncation: the environment's clock is
    set one step later, and time is counted beside it.

    Attributes:
        time_limit: Steps after which an episode is truncated; None where that is left to the environment.
    """

    time_limit: int | None = eqx.field(static=True)
    _fixed: Fixed = eqx.field(static=True)

    @classmethod
    def of(cls, env: Any) -> "JumanjiEnvironment":
        """Adapts an environment.

        Args:
            env: A `jumanji.Environment` with one agent. Its attribute `time_limit`, if it has one, is the time limit.

        Returns:
            The environment behind the library's protocol.

        Raises:
            TypeError: If it pays several rewards a step, or if what it shows does not fit its spaces.
        """
        name = f"jumanji's {type(env.unwrapped).__name__}"
        spaces = spaces_of(name, lambda: Spaces(_space(env.observation_spec), _space(env.action_spec)))
        limit = getattr(env, "time_limit", None) if env.unwrapped is env else None
        limit = limit if isinstance(limit, int) else None
        if limit is not None:
            env = copy.copy(env)
            env.time_limit = limit + 1
        return settled(cls(time_limit=limit, _fixed=Fixed(env, spaces, name)))

    @classmethod
    def named(cls, name: str, **settings) -> "JumanjiEnvironment":
        """Makes a registered environment.

        Args:
            name: Such as `Snake-v1`.
            **settings: Passed to the environment, such as `time_limit=100`.

        Returns:
            The environment.
        """
        import jumanji  # pyright: ignore[reportMissingImports]

        if name not in jumanji.registered_environments():
            raise unknown("jumanji/", name, sorted(jumanji.registered_environments()))
        return cls.of(jumanji.make(name, **settings))

    def _begin(self, key: Key[Array, ""]) -> tuple[ClockedState, PyTree[Array]]:
        state, timestep = self._fixed.env.reset(raw_key(key))
        return ClockedState(state, jnp.zeros((), jnp.int32)), _arrange(self.spaces.observation, timestep.observation)

    def _advance(self, state: ClockedState, action: PyTree[Array], key: Key[Array, ""]) -> tuple[ClockedState, Step]:
        del key  # what is random in a step comes from the state
        inner, timestep = self._fixed.env.step(state.inner, action)
        observation = _arrange(self.spaces.observation, timestep.observation)
        step, time = step_of(timestep, observation, dict(timestep.extras or {})), state.time + 1
        if self.time_limit is not None:
            step = eqx.tree_at(lambda step: step.truncated, step, step.truncated | (time >= self.time_limit))
        return ClockedState(inner, time), step

    def frames(self, states: Sequence[ClockedState]) -> list[np.ndarray]:
        """Draws states with jumanji's viewer.

        Raises:
            TypeError: If the environment has none.
        """
        env = self._fixed.env.unwrapped
        viewer: Any = getattr(env, "_viewer", None)
        if not hasattr(viewer, "_display_rgb_array"):
            return super().frames(states)
        frames, display = [], viewer._display
        # It opens a window unless the environment was made otherwise, and not every viewer returns its picture.
        viewer._display = lambda figure: frames.append(np.array(viewer._display_rgb_array(figure)[..., :3]))
        try:
            for state in states:
                env.render(state.inner)
        finally:
            viewer._display = display
            env.close()
        return frames


def _space(spec: Any) -> "Space[Any]":
    """Returns the counterpart of a jumanji spec; a nested one becomes a Dict."""
    from gymnasium import spaces
    from jumanji import specs  # pyright: ignore[reportMissingImports]

    if isinstance(spec, specs.DiscreteArray):
        return spaces.Discrete(int(spec.num_values))
    if isinstance(spec, specs.MultiDiscreteArray):
        return spaces.MultiDiscrete(np.asarray(spec.num_values), dtype=np.dtype(spec.dtype).type)
    if isinstance(spec, specs.Array) and np.dtype(spec.dtype) == bool:
        return spaces.MultiBinary(spec.shape)
    if isinstance(spec, specs.BoundedArray):
        low, high = (np.broadcast_to(np.asarray(each), spec.shape) for each in (spec.minimum, spec.maximum))
        return spaces.Box(low, high, spec.shape, np.dtype(spec.dtype).type)
    if isinstance(spec, specs.Array):
        kind = np.dtype(spec.dtype)
        reals = np.issubdtype(kind, np.floating)
        low, high = (-np.inf, np.inf) if reals else (np.iinfo(kind).min, np.iinfo(kind).max)
        return spaces.Box(low, high, spec.shape, kind.type)
    return spaces.Dict({name: _space(part) for name, part in vars(spec).items() if isinstance(part, specs.Spec)})


def _arrange(space: "Space[Any]", observation: Any) -> PyTree[Array]:
    """Turns named tuples and dataclasses into dictionaries, as the space has them."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Dict):
        return observation
    entries = observation if isinstance(observation, Mapping) else None
    return {
        name: _arrange(part, getattr(observation, name) if entries is None else entries[name])
        for name, part in space.items()
    }
