"""What can be seen and what can be done."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

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


class Masked(NamedTuple):
    """An observation and which actions are legal with it.

    In an environment such an observation is a dict of exactly these two, and its space a Dict of a space and a
    MultiBinary, as PettingZoo has it; here it comes apart.

    Attributes:
        observation: What is seen.
        action_mask: 1, or true, for legal actions: one number an action, or an option of each choice; None if all are.
    """

    observation: Any
    action_mask: Any

    @classmethod
    def of(cls, observation: Any) -> "Masked":
        """Takes an observation, or its space, apart; one without a mask is all observation."""
        if isinstance(observation, Mapping) and set(observation) == {"observation", "action_mask"}:
            return cls(observation["observation"], observation["action_mask"])
        return cls(observation, None)


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


def one_hot(choice: Integer[Array, "*shape"], sizes: Any, start: Any = 0) -> Float[Array, " options"]:
    """Returns the one-hot vectors of some choices, joined; one of a choice outside its range is NaN.

    Args:
        choice: Whole numbers.
        sizes: How many options each choice has, a number or an array of the shape of `choice`.
        start: The least of each choice, likewise.
    """
    sizes = np.broadcast_to(sizes, choice.shape).ravel().astype(int)
    places = jnp.ravel(choice).astype(int) - np.broadcast_to(start, choice.shape).ravel().astype(int)
    # Every option is compared with the choice that it belongs to.
    owner = np.repeat(np.arange(sizes.size), sizes)
    option = np.concatenate([np.arange(size) for size in sizes])
    is_valid = (places >= 0) & (places < sizes)
    return jnp.where(is_valid[owner], (places[owner] == option).astype(float), jnp.nan)


def flatten_to_vector(space: "Space[Any]", value: PyTree[Array], dtype: Any = float) -> Array:
    """Makes a vector of an element of a space, in the order of `gymnasium.spaces.flatten`.

    Args:
        space: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of those.
        value: One element.
        dtype: Type of the result.

    Returns:
        The vector, choices one-hot.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return jnp.concatenate([flatten_to_vector(part, value[name], dtype) for name, part in space.items()])
    if isinstance(space, spaces.Tuple):
        parts = zip(space, value, strict=True)
        return jnp.concatenate([flatten_to_vector(part, each, dtype) for part, each in parts])
    if isinstance(space, spaces.Discrete):
        value = one_hot(value, space.n, space.start)
    elif isinstance(space, spaces.MultiDiscrete):
        value = one_hot(value, space.nvec, space.start)
    return jnp.ravel(value).astype(dtype)
