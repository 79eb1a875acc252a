"""What can be seen and what can be done."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

if TYPE_CHECKING:
    from gymnasium import Space


class Spaces(NamedTuple):
    """The spaces of an environment, as `gymnasium.spaces`.

    Attributes:
        observation: Space of one observation.
        action: Space of one action.
    """

    observation: "Space[Any]"
    action: "Space[Any]"


def example(space: "Space[Any]") -> PyTree[Array]:
    """Returns zeros of a space's structure, shapes and types."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {name: example(part) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(example(part) for part in space)
    if isinstance(space, spaces.Discrete):
        return jnp.zeros((), jnp.int32)
    if space.shape is None or space.dtype is None:
        raise TypeError(
            f"the space {space} has no fixed shape; use Box, Discrete, MultiDiscrete, MultiBinary, Dict, Tuple"
        )
    return jnp.zeros(space.shape, jax.dtypes.canonicalize_dtype(space.dtype))


def clip_to(space: "Space[Any]", action: PyTree[Array]) -> PyTree[Array]:
    """Brings an action inside the bounds of every Box of a space; other spaces have no outside.

    This is the border between the policy, whose action and log-probability are kept as sampled, and the environment.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {name: clip_to(part, action[name]) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(clip_to(part, each) for part, each in zip(space, action, strict=True))
    if isinstance(space, spaces.Box):
        return jnp.clip(action, jnp.asarray(space.low, action.dtype), jnp.asarray(space.high, action.dtype))
    return action
