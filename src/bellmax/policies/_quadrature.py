"""Gauss–Legendre quadrature."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_POINTS = 32


def quadrature(low: Float[Array, "*shape"], high: Float[Array, "*shape"]) -> tuple[Array, Array]:
    """Returns points between two limits and their weights, with the axis of points in front.

    A sum of weights times values of a function is its integral, to rounding for one no wilder than exp(−80 u) or
    exp(−32 (2u − 1)²) on [0, 1]. Differentiable in the limits.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    nodes, weights = (
        jnp.asarray(x / 2, low.dtype).reshape(-1, *(1 for _ in range(low.ndim))) for x in (1 + nodes, weights)
    )
    length = (high - low)[None]
    return low[None] + length * nodes, length * weights
