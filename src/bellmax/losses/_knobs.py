"""Knobs of losses: checked, in the type of the data; their gradient flows."""

import jax.numpy as jnp
from jaxtyping import Array

from .._core import guard

_LOWEST_TEMPERATURE = 1e-15
"""Values over it, and over its square, are finite in float32."""


def positive(value, like: Array, what: str) -> Array:
    """Returns a knob that must be above zero, named as the user named it."""
    return jnp.asarray(guard(value, lambda x: x > 0, f"{what} must be positive"), like.dtype)


def not_negative(value, like: Array, what: str) -> Array:
    """Returns a knob that must not be below zero, named as the user named it."""
    return jnp.asarray(guard(value, lambda x: x >= 0, f"{what} must not be negative"), like.dtype)


def spread(value, like: Array) -> Array:
    """Returns a knob that may have axes, one number for each of another array's."""
    return jnp.broadcast_to(jnp.asarray(value, like.dtype), like.shape)


def floored(temperature: Array) -> Array:
    """Returns what may divide: a temperature that is not known when it is checked may be zero."""
    return jnp.maximum(temperature, _LOWEST_TEMPERATURE)
