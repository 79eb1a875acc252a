"""Numbers between bounds, whole or not: draws, densities and entropies."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr


def float_like(x):
    """Returns the type of an array, or the floating-point type beside whole numbers."""
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.zeros(()).dtype


def unsigned_like(x):
    """Returns the unsigned type of the width of an array of whole numbers."""
    return jnp.dtype(f"uint{8 * x.dtype.itemsize}")


def ends_of(dtype) -> tuple[int, int]:
    """Returns the least and the greatest number of a type."""
    return (0, 1) if dtype.kind == "b" else (int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max))


def integers(key, low, high):
    """Draws whole numbers from low to high, both included, even where there are as many as the type can count."""
    some_key, all_key = jax.random.split(key)
    kind = unsigned_like(low)
    span = (high - low).astype(kind)
    every = span == jnp.asarray(jnp.iinfo(kind).max, kind)
    some = jax.random.randint(some_key, low.shape, jnp.zeros_like(span), jnp.where(every, span, span + 1), kind)
    return low + jnp.where(every, jax.random.bits(all_key, low.shape, kind), some).astype(low.dtype)


def log_floored_normal(x):
    """Returns the logarithm of Φ(x + 1) − Φ(x), taken on the side where both are small."""
    lower = jnp.where(x >= 0, -x - 1, x)
    upper = log_ndtr(lower + 1)
    return upper + jnp.log1p(-jnp.exp(log_ndtr(lower) - upper))


def _entropy(probs) -> float:
    return -sum(p * math.log(p) for p in probs if p > 0)


NORMAL_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
GEOMETRIC_ENTROPY = _entropy(math.exp(-k) - math.exp(-k - 1) for k in range(60))
FLOORED_NORMAL_ENTROPY = 2 * _entropy((math.erf((k + 1) / 2**0.5) - math.erf(k / 2**0.5)) / 2 for k in range(12))
