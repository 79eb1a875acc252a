"""Probability ratios out of their logarithms."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

_LARGEST_LOG_RATIO = 40.0
"""exp(±40) is finite in float32, and so is its product with any sane advantage."""


def bounded_log_ratio(log_ratio: Float[Array, "*batch"], power: int = 1) -> Float[Array, "*batch"]:
    """Clips a log-ratio at ±40 (±9 in float16), divided by the power to which the ratio will be raised."""
    largest = min(_LARGEST_LOG_RATIO, math.log(float(jnp.finfo(log_ratio.dtype).max)) - 2) / power
    return jnp.clip(log_ratio, -largest, largest)


def ratio_of(log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Returns exp of a log-ratio that is clipped first, so that it and its gradient stay finite."""
    return jnp.exp(bounded_log_ratio(log_ratio))


def truncated_ratio(log_ratio: Float[Array, "*batch"], largest) -> Float[Array, "*batch"]:
    """Returns min(ratio, largest), truncated before it is exponentiated; never more than `ratio_of`'s bound."""
    return ratio_of(jnp.minimum(log_ratio, jnp.log(jnp.asarray(largest, log_ratio.dtype))))
