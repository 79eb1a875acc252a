"""Boxes inside spaces."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from ..._core import example

if TYPE_CHECKING:
    from gymnasium import Space


def map_boxes(function: Callable[[Any], "Space[Any]"], space: "Space[Any]") -> "Space[Any]":
    """Replaces every Box of a space, inside Dict and Tuple too; other spaces stay."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return spaces.Dict({name: map_boxes(function, part) for name, part in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([map_boxes(function, part) for part in space])
    return function(space) if isinstance(space, spaces.Box) else space


def without_bounds(space: "Space[Any]") -> "Space[Any]":
    """Takes the bounds off every Box of floating point in a space."""
    from gymnasium import spaces

    def freed(box):
        dtype = example(box).dtype
        is_real = jnp.issubdtype(dtype, jnp.floating)
        return spaces.Box(-np.inf, np.inf, box.shape, dtype.type) if is_real else box

    return map_boxes(freed, space)


def bounds(space: "Space[Any]", wrapper: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of a Box of finite size with floating point; TypeError or ValueError for anything else."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise TypeError(f"{wrapper}: actions must be a Box of floating point; got {space}")
    low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))
    with np.errstate(over="ignore"):
        if not np.all(np.isfinite(high - low)):
            raise ValueError(f"{wrapper}: actions must have finite bounds; got {space}")
    return low, high
