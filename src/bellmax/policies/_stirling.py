"""What Stirling's formula leaves of the gamma function: small numbers where the function itself is large."""

import math

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float

_LARGE = 4.0


def log_gamma_rest(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns log Γ(x) − (x − ½) log x + x − ½ log 2π for positive x."""
    is_large, small, large = _apart(x)
    direct = gammaln(small) - (small - 0.5) * jnp.log(small) + small - 0.5 * math.log(2 * math.pi)
    inverse = 1 / large
    return jnp.where(is_large, _series(inverse, inverse, (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)), direct)


def digamma_rest(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns the digamma function of positive x less log x."""
    is_large, small, large = _apart(x)
    inverse = 1 / large
    series = _series(jnp.square(inverse), inverse, (-1 / 12, 1 / 120, -1 / 252, 1 / 240))
    return jnp.where(is_large, series - inverse / 2, digamma(small) - jnp.log(small))


def _apart(x: Array) -> tuple[Array, Array, Array]:
    # In float64 the difference of the two has digits enough; the series has not.
    is_large = (x > _LARGE) & (x.dtype != jnp.float64)
    return is_large, jnp.where(is_large, 1, x), jnp.where(is_large, x, 2 * _LARGE)


def _series(first: Array, inverse: Array, coefficients) -> Array:
    total = jnp.zeros_like(inverse)
    for coefficient in reversed(coefficients):
        total = coefficient + jnp.square(inverse) * total
    return first * total
