"""Integrals of exp(−slope s − s²/2), relative to their start: pieces of a normal distribution."""

import math

import jax.numpy as jnp
import numpy as np
from jax.lax import erfc
from jaxtyping import Array, Float

_TERMS = 12


def tail(slope: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns the integral of exp(−slope s − s²/2) over all positive s, for a slope of at least zero."""
    # exp times erfc loses digits as the slope grows, and JAX's erfcx loses all of them before it changes over.
    is_steep = slope > (17.0 if slope.dtype == jnp.float64 else 7.0)
    gentle, steep = jnp.where(is_steep, 1, slope), jnp.where(is_steep, slope, 20)
    # Integrated by parts over and over: (1 − (1 − 3 (1 − …)/slope²)/slope²)/slope.
    inverse = 1 / steep
    series = jnp.ones_like(slope)
    for odd in range(2 * _TERMS - 1, 0, -2):
        series = 1 - odd * jnp.square(inverse) * series
    scaled = gentle / math.sqrt(2)
    direct = math.sqrt(math.pi / 2) * jnp.exp(jnp.square(scaled)) * erfc(scaled)
    return jnp.where(is_steep, inverse * series, direct)


def mass(length: Float[Array, "*shape"], slope: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns the integral of exp(−slope s − s²/2) over s from 0 to a length, to rounding, with its derivatives.

    The slope is at least zero, or the length is zero.
    """
    slope = jnp.where(length > 0, slope, 0)
    fall = length * (slope + length / 2)
    # What is left at the end is either much, and few points do, or little, and the difference of two tails is safe.
    is_short = fall < 2
    long, its_slope = jnp.where(is_short, 2, length), jnp.where(is_short, 0, slope)
    difference = tail(its_slope) - jnp.exp(-long * (its_slope + long / 2)) * tail(its_slope + long)
    short, its_slope = jnp.where(is_short, length, 0), jnp.where(is_short, slope, 0)
    nodes, weights = np.polynomial.legendre.leggauss(14 if length.dtype == jnp.float64 else 8)
    total = jnp.zeros_like(length)
    for node, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
        s = short * float(node)
        total = total + float(weight) * jnp.exp(-s * (its_slope + s / 2))
    return jnp.where(is_short, short * total, difference)
