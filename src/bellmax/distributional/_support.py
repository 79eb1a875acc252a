"""Where the atoms of a distribution stand."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard


@checked
def linear_support(low: RealScalarLike, high: RealScalarLike, num_atoms: int) -> Float[Array, " atoms"]:
    r"""Spaces atoms evenly.

    $$z_i = v_{low} + \frac{i}{n-1}\,(v_{high} - v_{low})$$

    Both ends are exact, and the atoms of a range symmetric about zero cancel exactly.

    Args:
        low: $v_{low}$, the first atom, in the units of the value.
        high: $v_{high}$, the last atom; greater than `low`.
        num_atoms: $n$, at least 2.

    Returns:
        Atoms in increasing order.

    Raises:
        ValueError: If there are fewer than two atoms, or `high` is not greater than `low`.
        jaxtyping.TypeCheckError: If the ends are not numbers or the count is not an integer.

    Example:
        >>> linear_support(-1, 1, 5).tolist()
        [-1.0, -0.5, 0.0, 0.5, 1.0]

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887,
        section 4.
    """
    return _spaced("linear_support", low, high, num_atoms)


@checked
def symexp_support(
    low: RealScalarLike = -20, high: RealScalarLike = 20, num_atoms: int = 255
) -> Float[Array, " atoms"]:
    r"""Spaces atoms evenly in symmetric logarithms: densely about zero, up to values of any scale.

    $$z_i = \mathrm{sign}(x_i)\,(e^{|x_i|} - 1), \qquad x_i = x_{low} + \frac{i}{n-1}\,(x_{high} - x_{low})$$

    The default reaches ±4.9e8. float32 ends at ±88.7.

    Args:
        low: $x_{low}$, the symmetric logarithm of the first atom.
        high: $x_{high}$, that of the last; greater than `low`.
        num_atoms: $n$, at least 2.

    Returns:
        Atoms in increasing order, in the units of the value; they cancel exactly if the range is symmetric.

    Raises:
        ValueError: If there are fewer than two atoms, `high` is not greater than `low`, or an atom overflows.
        jaxtyping.TypeCheckError: If the ends are not numbers or the count is not an integer.

    Example:
        >>> [round(float(atom), 3) for atom in symexp_support(-2, 2, 5)]
        [-6.389, -1.718, 0.0, 1.718, 6.389]

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104.
    """
    x = _spaced("symexp_support", low, high, num_atoms)
    largest = math.log(float(jnp.finfo(x.dtype).max))
    message = f"symexp_support: low and high must lie within ±{largest:.1f}, where {x.dtype} overflows"
    x = guard(x, lambda x: abs(x) < largest, message)
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


@checked
def quantile_midpoints(num_quantiles: int) -> Float[Array, " quantiles"]:
    r"""Cuts the probabilities into equal shares and takes the middle of each.

    $$\hat\tau_i = \frac{i + \tfrac12}{n}$$

    Args:
        num_quantiles: $n$, at least 1.

    Returns:
        Fractions in (0, 1), increasing: at these, quantiles are the closest that n equal weights come to a distribution
        in Wasserstein distance.

    Raises:
        ValueError: If there is not a single quantile.
        jaxtyping.TypeCheckError: If the count is not an integer.

    Example:
        >>> quantile_midpoints(4).tolist()
        [0.125, 0.375, 0.625, 0.875]

    References:
        Dabney et al., *Distributional Reinforcement Learning with Quantile Regression*, 2017, arXiv:1710.10044,
        lemma 2.
    """
    if num_quantiles < 1:
        raise ValueError(f"quantile_midpoints: num_quantiles must be at least 1; got {num_quantiles}")
    return (jnp.arange(num_quantiles, dtype=float) + 0.5) / num_quantiles


def check_support(function: str, support: Array) -> Array:
    """Returns a support, refused where it is too short or does not increase."""
    if support.shape[-1] < 2:
        raise ValueError(f"{function}: a support needs at least 2 atoms; got {support.shape[-1]}")
    return guard(
        support,
        lambda atoms: (atoms[1:] > atoms[:-1]) & (abs(atoms[1:] - atoms[:-1]) < math.inf),
        f"{function}: the support must be finite and strictly increasing",
    )


def _spaced(function, low, high, num_atoms):
    if num_atoms < 2:
        raise ValueError(f"{function}: num_atoms must be at least 2; got {num_atoms}")
    dtype = jnp.result_type(low, high, float)
    low, high = (at_least_float32(jnp.asarray(end, dtype)) for end in (low, high))
    message = f"{function}: low must be less than high, and both finite"
    low, high = guard(
        jnp.stack([low, high]), lambda ends: (ends[1] > ends[0]) & (abs(ends[1] - ends[0]) < math.inf), message
    )

    # From either end to the middle: exact ends, and exact symmetry.
    share = jnp.arange(num_atoms, dtype=low.dtype) / (num_atoms - 1)
    rising, falling = low + (high - low) * share, high - (high - low) * share[::-1]
    return jnp.where(share < 0.5, rising, jnp.where(share == 0.5, 0.5 * low + 0.5 * high, falling)).astype(dtype)
