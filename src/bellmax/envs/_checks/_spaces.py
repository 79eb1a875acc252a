"""Whether what an environment gives lies in the space that it names."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from ..._core import example

_TOLERANCE = 1e-4
"""How far beyond a bound is rounding, relative to the bound or to 1."""


def check_space(name: str, space: Any) -> None:
    """Raises a TypeError unless the space is one that networks and policies can be made for."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Space):
        raise TypeError(f"the space of {name} is {space!r}; expected one of gymnasium.spaces")
    with jax.ensure_compile_time_eval():
        example(space)


def short(space: Any) -> str:
    """Describes a space in a few words."""
    from gymnasium import spaces

    text = str(space)
    if len(text) > 50 and isinstance(space, spaces.Box):
        return f"Box(..., {space.shape}, {space.dtype})"
    return text if len(text) <= 160 else f"{text[:150]}...)"


def misfit(space: Any, value: PyTree[Any], what: str) -> str | None:
    """Says where structure, shape or type of a value are not the space's; None if nowhere.

    Args:
        space: From `gymnasium.spaces`.
        value: Arrays, or their shapes and types.
        what: Name of the value, for the message.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.keys()):
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            return f"{what} has {got}; its space is a Dict of {sorted(space.keys())}"
        parts = [misfit(part, value[name], f"{what}[{name!r}]") for name, part in space.items()]
        return next((part for part in parts if part), None)
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            return f"{what} is a {type(value).__name__}; its space is a Tuple of {len(space.spaces)}"
        parts = [misfit(part, each, f"{what}[{i}]") for i, (part, each) in enumerate(zip(space, value, strict=True))]
        return next((part for part in parts if part), None)
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return f"{what} is a {type(value).__name__}; expected an array of its space, {space}"
    with jax.ensure_compile_time_eval():
        wanted = example(space)
    # Which integers count a Discrete does not matter to anyone.
    same_type = value.dtype == wanted.dtype or (
        isinstance(space, spaces.Discrete) and jnp.issubdtype(value.dtype, jnp.integer)
    )
    if value.shape != wanted.shape or not same_type:
        return f"{what} is {value.dtype}{list(value.shape)}; its space says {wanted.dtype}{list(wanted.shape)}"
    return None


def excess(space: Any, value: PyTree[Array]) -> Float[Array, ""]:
    """Returns how far a value lies outside the bounds of its space; 0 inside, also where a value is NaN."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return jnp.max(jnp.stack([excess(part, value[name]) for name, part in space.items()]))
    if isinstance(space, spaces.Tuple):
        return jnp.max(jnp.stack([excess(part, each) for part, each in zip(space, value, strict=True)]))
    low, high = _bounds(space)
    value = jnp.asarray(value, float)
    below = low - value - _TOLERANCE * np.maximum(1, np.abs(np.where(np.isfinite(low), low, 0)))
    above = value - high - _TOLERANCE * np.maximum(1, np.abs(np.where(np.isfinite(high), high, 0)))
    return jnp.max(jnp.nan_to_num(jnp.maximum(below, above), nan=0.0), initial=0.0)


def sample(space: Any, key: Key[Array, ""]) -> PyTree[Array]:
    """Draws an element of a space; where a Box has no bound, from -1 to 1 beyond the other or around zero."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        keys = jax.random.split(key, len(space.spaces))
        return {name: sample(part, key) for (name, part), key in zip(space.items(), keys, strict=True)}
    if isinstance(space, spaces.Tuple):
        keys = jax.random.split(key, len(space.spaces))
        return tuple(sample(part, key) for part, key in zip(space, keys, strict=True))
    like = example(space)
    low, high = _bounds(space)
    if jnp.issubdtype(like.dtype, jnp.integer) or like.dtype == bool:
        return jax.random.randint(key, like.shape, low.astype(int), high.astype(int) + 1).astype(like.dtype)
    low, high = np.where(np.isfinite(low), low, np.minimum(high - 2, -1)), high
    high = np.where(np.isfinite(high), high, low + 2)
    return jax.random.uniform(key, like.shape, like.dtype, low, high)


def _bounds(space: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and highest value of each element, both inclusive."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return np.asarray(float(space.start)), np.asarray(float(space.start + space.n - 1))
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.start, float), np.asarray(space.start + space.nvec - 1, float)
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape), np.ones(space.shape)
    assert isinstance(space, spaces.Box)
    return np.asarray(space.low, float), np.asarray(space.high, float)
