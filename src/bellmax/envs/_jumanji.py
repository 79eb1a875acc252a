"""Adapter for jumanji."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._core import Masked, Spaces
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
    """A jumanji environment. Its observation's fields become the entries of a Dict space.

    An action mask with one number for each of the Discrete actions comes out of them and stands beside the rest, under
    `action_mask` and `observation`; a mask that allows nothing allows everything, since some action is taken. A mask
    of joint actions stays a field like any other.

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
        limit = getattr(env, "time_limit", None) if env.unwrapped is env else None
        limit = limit if isinstance(limit, int) else None
        if limit is not None:
            env = copy.copy(env)
            env.time_limit = limit + 1
            for spec in ("observation_spec", "action_spec"):  # kept from before, they speak of the limit too
                vars(env).pop(spec, None)
        spaces = spaces_of(name, lambda: _spaces(env))
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
        return ClockedState(state, jnp.zeros((), jnp.int32)), _shown(self.spaces, timestep.observation)

    def _advance(self, state: ClockedState, action: PyTree[Array], key: Key[Array, ""]) -> tuple[ClockedState, Step]:
        del key  # what is random in a step comes from the state
        inner, timestep = self._fixed.env.step(state.inner, action)
        observation = _shown(self.spaces, timestep.observation)
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


def _spaces(env: Any) -> Spaces:
    """Returns the counterparts of an environment's specs, an action mask that fits beside what else is seen."""
    from gymnasium import spaces

    seen, action = _space(env.observation_spec), _space(env.action_spec)
    mask = seen.get("action_mask") if isinstance(seen, spaces.Dict) else None
    if isinstance(action, spaces.Discrete) and isinstance(mask, spaces.MultiBinary) and mask.shape == (action.n,):
        assert isinstance(seen, spaces.Dict)
        rest = spaces.Dict({name: part for name, part in seen.items() if name != "action_mask"})
        seen = spaces.Dict({"observation": rest, "action_mask": mask})
    return Spaces(seen, action)


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


def _shown(spaces: Spaces, observation: Any) -> PyTree[Array]:
    """Brings an observation into the form of its space."""
    there, mask = Masked.of(spaces.observation)
    if mask is None:
        return _arrange(there, observation)
    legal = jnp.asarray(_entry(observation, "action_mask"), bool)
    return {"observation": _arrange(there, observation), "action_mask": legal | ~jnp.any(legal)}


def _arrange(space: "Space[Any]", observation: Any) -> PyTree[Array]:
    """Turns named tuples and dataclasses into dictionaries, as the space has them."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Dict):
        return observation
    return {name: _arrange(part, _entry(observation, name)) for name, part in space.items()}


def _entry(observation: Any, name: str) -> Any:
    return observation[name] if isinstance(observation, Mapping) else getattr(observation, name)
