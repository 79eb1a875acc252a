"""The projection of categorical distributions."""

import functools
import math

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, TypeCheckError

from .._core import checked
from ._support import check_support


@checked(widen=True)
def categorical_projection(
    atoms: Float[Array, "*own atoms"], probs: Float[Array, "*batch atoms"], support: Float[Array, " new_atoms"]
) -> Float[Array, "*batch new_atoms"]:
    r"""Moves a categorical distribution onto other atoms: the closest one there in Cramér distance.

    Each atom is clipped to the support and shares its probability between its two neighbours, the nearer the more:

    $$p'_j = \sum_i p_i\,\Big[1 - \frac{|\mathrm{clip}(z_i, z'_1, z'_n) - z'_j|}{\Delta_{ij}}\Big]_0^1$$

    where $\Delta_{ij}$ is the gap of the support in which the clipped atom lies. Probability is conserved, and the mean
    is as well if no atom lies outside the support. Infinite atoms land on its ends; atoms without probability have no
    effect, NaN included.

    On a CPU the work is proportional to the number of source atoms, which may be in any order; an evenly spaced support
    is found to be so and is quicker. Gradients on an atom of the support are those of one of its sides.

    Args:
        atoms: $z$, the source atoms, in the units of the support: each example's own, or one row shared by all.
        probs: $p$, their probabilities; not normalised here.
        support: $z'$, the new atoms: strictly increasing, at least two, shared by all examples. An unordered support
            gives nonsense under a transform, where its values cannot be seen; of equal atoms the last takes the mass.

    Returns:
        $p'$, the probability of every new atom. Differentiable in every argument.

    Raises:
        ValueError: If the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the shapes differ or the support has batch axes.

    Example:
        >>> import jax.numpy as jnp
        >>> support = jnp.array([0.0, 1.0, 2.0])
        >>> categorical_projection(jnp.array([0.25, 7.0]), jnp.array([0.5, 0.5]), support).tolist()
        [0.375, 0.125, 0.5]

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887,
        equation 7. Rowland et al., *An Analysis of Categorical Distributional Reinforcement Learning*, 2018,
        arXiv:1802.08163.
    """
    if atoms.ndim != 1 and atoms.shape != probs.shape:
        raise TypeCheckError(
            f"categorical_projection: atoms must have the shape of probs, {probs.shape}, or its last axis alone; got "
            f"{atoms.shape}"
        )
    support = check_support("categorical_projection", support)
    # How bins are found decides all of it, so that each way is compiled as one loop.
    lower, upper = _by_spacing(_shares, support, jnp.broadcast_to(atoms, probs.shape), probs)
    none = jnp.zeros_like(lower[..., :1])
    return jnp.concatenate([lower, none], axis=-1) + jnp.concatenate([none, upper], axis=-1)


def locate(x: Array, support: Array) -> tuple[Array, Array]:
    """Returns the bin between two atoms in which each clipped number lies, and how far it is towards the upper one."""
    return _by_spacing(_locate, support, x)


def _by_spacing(function, support, *args):
    """Calls `function(find_bins, support, *args)` with what finds bins best: an even support needs no search."""
    atoms = jax.lax.stop_gradient(support)
    num_bins = atoms.shape[0] - 1
    width = (atoms[-1] - atoms[0]) / num_bins
    grid = atoms[0] + width * jnp.arange(num_bins + 1, dtype=atoms.dtype)
    rounding = 8 * jnp.finfo(atoms.dtype).eps * jnp.max(jnp.abs(atoms))
    is_even = jnp.all(jnp.abs(atoms - grid) <= jnp.minimum(rounding, 1e-3 * width))
    ways = tuple(functools.partial(function, find_bins) for find_bins in (_bin_on_grid, _bin_by_bisection))
    if isinstance(is_even, Tracer):
        return jax.lax.cond(is_even, *ways, support, *args)
    return ways[0 if is_even else 1](support, *args)


def _locate(find_bins, support, x):
    x = jnp.clip(x, support[0], support[-1])
    bins = find_bins(*jax.lax.stop_gradient((x, support)))
    below, above = (support.at[bins + step].get(mode="promise_in_bounds") for step in (0, 1))
    width = above - below
    share = (x - below) / jnp.where(width > 0, width, 1)
    return bins, _clip_to_unit(share)


@jax.custom_jvp
def _clip_to_unit(share):
    """Clips, and keeps the slope: beside an atom the bin on a grid may be the next one, whose slope is then meant."""
    return jnp.clip(share, 0, 1)


@_clip_to_unit.defjvp
def _slope_of_clip(primals, tangents):
    return _clip_to_unit(*primals), tangents[0]


def _shares(find_bins, support, atoms, masses):
    """Returns what each bin gives to its lower and to its upper atom."""
    # By what it is compiled for, which need not be the default; all of it, so that it is compiled as one loop.
    on_cpu, elsewhere = (functools.partial(_shares_by, find_bins, add_up) for add_up in (_scatter, _select))
    return jax.lax.platform_dependent(support, atoms, masses, cpu=on_cpu, default=elsewhere)


def _shares_by(find_bins, add_up, support, atoms, masses):
    # What has no mass may be NaN, and would be so in the gradients.
    bins, share = _locate(find_bins, support, jnp.where(jnp.isnan(atoms) & (masses == 0), support[0], atoms))
    # No subtraction of sums, which would leave crumbs.
    return add_up(support.shape[0] - 1, bins, (1 - share) * masses, share * masses)


def _bin_on_grid(x, atoms):
    """Finds the bin by division; beside an atom it is the one before or after, as rounding has it."""
    last = atoms.shape[0] - 2
    return jnp.clip(((x - atoms[0]) * ((last + 1) / (atoms[-1] - atoms[0]))).astype(jnp.int32), 0, last)


def _bin_by_bisection(x, atoms):
    """Counts the inner atoms that are not above, one binary digit of the count after the other."""
    inner = atoms[1:-1]
    digits = inner.shape[0].bit_length()
    padded = jnp.pad(inner, (0, 2**digits - inner.shape[0]), constant_values=jnp.inf)
    count = jnp.zeros(x.shape, jnp.int32)
    for digit in reversed(range(digits)):
        more = count + 2**digit
        count = jnp.where(x >= padded.at[more - 1].get(mode="promise_in_bounds"), more, count)
    return count


def _scatter(num_bins, bins, x, y):
    """Adds up, for each row, what lies in each bin."""
    rows = math.prod(x.shape[:-1])
    starts = num_bins * jnp.arange(rows, dtype=jnp.int32).reshape(rows, 1)
    places = (bins.reshape(rows, -1) + starts).ravel()
    # Both at once as one complex number: half the scattering, which is what takes the time.
    both = jax.lax.complex(x, y)
    sums = jnp.zeros(rows * num_bins, both.dtype).at[places].add(both.ravel(), mode="promise_in_bounds")
    sums = sums.reshape(*x.shape[:-1], num_bins)
    return jnp.real(sums), jnp.imag(sums)


def _select(num_bins, bins, x, y):
    """The same for accelerators, which scatter with atomic additions, in an order that changes from run to run."""
    chosen = bins[..., None] == _like_rows(jnp.arange(num_bins, dtype=jnp.int32), bins.ndim + 1)
    return jnp.sum(jnp.where(chosen, x[..., None], 0), axis=-2), jnp.sum(jnp.where(chosen, y[..., None], 0), axis=-2)


def _like_rows(row: Array, ndim: int) -> Array:
    return row.reshape((1,) * (ndim - 1) + row.shape)
