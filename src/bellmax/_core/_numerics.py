"""Arithmetic that keeps its meaning at the edges."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def multiply_no_nan(x: Array, weight: Array) -> Array:
    """Multiplies by a weight that erases what it multiplies when it is zero, infinities and NaN included.

    Where `x` is finite this is the plain product, with the plain product's gradients.
    """
    return weight * jnp.where((weight == 0) & ~jnp.isfinite(x), 0, x)


def mix(x: Array, y: Array, weight: Array) -> Array:
    """Returns `(1 - weight) x + weight y`; what has no weight cannot poison the result."""
    return multiply_no_nan(x, 1 - weight) + multiply_no_nan(y, weight)


def at_least_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Widens half precision, for log-probabilities, entropies and moments."""
    return x if jnp.finfo(x.dtype).bits >= 32 else x.astype(jnp.float32)
