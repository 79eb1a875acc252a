"""Observations and actions of many lanes, on their way between environments outside JAX and the policy."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._core import Spaces, example

if TYPE_CHECKING:
    from gymnasium import Space


class Border:
    """What crosses from an environment to the policy and back, a leading axis of lanes on the policy's side.

    The policy sees NumPy arrays of the types of `jax`, so float64 becomes float32, and every `Discrete` begins at zero,
    whatever the environment's begins at.

    Attributes:
        spaces: As the policy sees them.
    """

    spaces: Spaces

    def __init__(self, spaces: Spaces):
        """Describes the border.

        Args:
            spaces: As the environment has them.

        Raises:
            TypeError: If a space has no fixed shape.
        """
        self._outer = spaces
        self.spaces = Spaces(_from_zero(spaces.observation), _from_zero(spaces.action))
        _ = example(spaces.action)
        self._types = jax.tree.map(np.asarray, example(spaces.observation))
        self._write = _writer(spaces.observation, self._types)
        self._outward = _outward(spaces.action)

    def allocate(self, lanes: int) -> Any:
        """Makes observations of so many lanes, to be written."""
        return _map(lambda leaf: np.empty((lanes, *leaf.shape), leaf.dtype), self._types)

    def write(self, batch: Any, lane: int, observation: Any) -> None:
        """Copies one environment's observation into its lane.

        Args:
            batch: From `allocate`.
            lane: Which.
            observation: An element of the environment's space.

        Raises:
            ValueError: If it has not the shape of the space.
        """
        self._write(batch, lane, observation)

    def copy(self, batch: Any) -> Any:
        """Copies observations, to be written."""
        return _map(np.copy, batch)

    def batch(self, observations: Any, lanes: int) -> Any:
        """Copies what a vector environment returns.

        Args:
            observations: Elements of the environment's space, with a leading axis of lanes.
            lanes: How many.

        Returns:
            Observations for the policy.

        Raises:
            ValueError: If they have not the shape of the space.
        """
        return _batch(self._outer.observation, self._types, observations, lanes)

    def actions(self, action: Any) -> Sequence[Any]:
        """Returns each lane's action as its environment takes it; whole numbers as Python's, which is fastest."""
        return _lanes_of(self._outward(action))

    def batched_action(self, action: Any) -> Any:
        """Returns actions as a vector environment takes them."""
        return self._outward(action)


def replace_lanes(batch: Any, lanes: np.ndarray, other: Any) -> Any:
    """Returns a copy of a batch with the lanes of a mask taken from another one."""

    def replace(one, two):
        mask = lanes.reshape(-1, *[1] * (one.ndim - 1))
        return np.where(mask, two, one)

    return jax.tree.map(replace, batch, other)


def _map(function: Callable[[np.ndarray], np.ndarray], tree: Any) -> Any:
    """Maps over a tree; one array, the common case, without the cost of JAX's walk."""
    return function(tree) if isinstance(tree, np.ndarray) else jax.tree.map(function, tree)


def _from_zero(space: "Space[Any]") -> "Space[Any]":
    """Returns the space with every Discrete in it beginning at zero."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n)) if space.start != 0 else space
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec, dtype=space.dtype.type) if np.any(space.start) else space
    if isinstance(space, spaces.Dict):
        return spaces.Dict({name: _from_zero(part) for name, part in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_from_zero(part) for part in space])
    return space


def _start_of(space: "Space[Any]") -> Any:
    """Returns what the environment's numbers lie above the policy's; None for nothing."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return None
    start = np.asarray(space.start)
    return start if start.any() else None


def _writer(space: "Space[Any]", types: Any) -> Callable[[Any, int, Any], None]:
    """Returns what copies one observation into its lane: this runs at every step of every lane."""
    if not isinstance(types, np.ndarray):
        parts = [(name, _writer(part, types[name])) for name, part in _parts(space)]

        def write_parts(batch, lane, observation):
            for name, write in parts:
                write(batch[name], lane, observation[name])

        return write_parts
    shape, start = types.shape, _start_of(space)

    def write_array(batch, lane, observation):
        value = observation if isinstance(observation, np.ndarray) else np.asarray(observation)
        if value.shape != shape:
            raise ValueError(f"an observation has shape {value.shape}, but its space {space} has {shape}")
        batch[lane] = value if start is None else value - start

    return write_array


def _parts(space: Any) -> Sequence[tuple[Any, "Space[Any]"]]:
    return list(space.items()) if hasattr(space, "items") else list(enumerate(space))


def _batch(space: "Space[Any]", types: Any, observations: Any, lanes: int) -> Any:
    if isinstance(types, dict):
        return {name: _batch(part, types[name], observations[name], lanes) for name, part in _parts(space)}
    if isinstance(types, tuple):
        return tuple(_batch(part, types[name], observations[name], lanes) for name, part in _parts(space))
    start = _start_of(space)
    value = np.array(observations if start is None else observations - start, types.dtype)
    if value.shape != (lanes, *types.shape):
        raise ValueError(
            f"the observations of {lanes} lanes have shape {value.shape}; their space {space} asks for "
            f"{(lanes, *types.shape)}"
        )
    return value


def _outward(space: "Space[Any]") -> Callable[[Any], Any]:
    """Returns what turns the policy's actions into the environment's types, in a copy."""
    if hasattr(space, "spaces"):
        parts = {name: _outward(part) for name, part in _parts(space)}

        def convert_parts(action):
            converted = {name: convert(action[name]) for name, convert in parts.items()}
            return converted if isinstance(action, dict) else tuple(converted.values())

        return convert_parts
    start, dtype = _start_of(space), space.dtype
    bounds = getattr(space, "low", None), getattr(space, "high", None)
    if bounds[0] is not None:  # they may be of a wider type than the policy's actions
        return lambda action: np.clip(np.asarray(action, dtype), *bounds)
    if start is None:
        return lambda action: np.array(action, dtype)
    return lambda action: np.asarray(action).astype(dtype) + start.astype(dtype)


def _lanes_of(action: Any) -> Sequence[Any]:
    if isinstance(action, dict):
        parts = [_lanes_of(part) for part in action.values()]
        return [dict(zip(action, values, strict=True)) for values in zip(*parts, strict=True)]
    if isinstance(action, tuple):
        return list(zip(*(_lanes_of(part) for part in action), strict=True))
    return action.tolist() if action.ndim == 1 and action.dtype.kind in "iu" else list(action)
