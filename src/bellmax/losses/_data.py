"""What a loss takes as given, and how far it lets a log-ratio go."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def as_data(x, prediction: Array) -> Array:
    """Stops the gradient of a number or an array, in the type of the prediction."""
    return jax.lax.stop_gradient(jnp.asarray(x, prediction.dtype))


def bounded_log_ratio(log_ratio: Float[Array, "*batch"], power: int = 1) -> Float[Array, "*batch"]:
    """Clips a log-ratio where `ratio_of` does, so that the ratio to a power stays finite."""
    largest = min(40.0, math.log(float(jnp.finfo(log_ratio.dtype).max)) - 2) / power
    return jnp.clip(log_ratio, -largest, largest)
