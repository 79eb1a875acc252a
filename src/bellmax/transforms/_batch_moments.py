"""Count, mean and variance of one batch, over all devices, seen from a reference point."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, PyTree

from .._core import psum


class BatchMoments(eqx.Module):
    """Moments of a batch.

    Attributes:
        count: How many examples, over all devices.
        step: Mean minus the reference point.
        rest: What rounding took from `step`.
        variance: Mean square of the distances from the mean.
    """

    count: Integer[Array, ""]
    step: PyTree[Array]
    rest: PyTree[Array]
    variance: PyTree[Array]


def batch_moments(reference: PyTree[Array], low: PyTree[Array], x: PyTree[Array], mask, axis_name) -> BatchMoments:
    """Takes the moments of a batch in two passes, about a point near its mean.

    Args:
        reference: Point from which distances are taken: the mean so far.
        low: What is added to the point: the second word of the mean.
        x: Arrays of the shapes of `reference`, after any batch axes.
        mask: Which examples count, of the batch axes' shape; None means all.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The moments; zeros if nothing counts.
    """
    keep = _kept(reference, x, mask)
    count = psum(jnp.sum(keep, dtype=jnp.int32), axis_name)

    def mean(rows):
        totals = psum(jax.tree.map(lambda leaf: jnp.sum(leaf, axis=tuple(range(keep.ndim))), rows), axis_name)
        return jax.tree.map(lambda total: total / jnp.maximum(count, 1).astype(total.dtype), totals)

    def erase(rows):
        return jnp.where(jnp.expand_dims(keep, tuple(range(keep.ndim, rows.ndim))), rows, 0)

    def distance(rows, point, low):
        point = jnp.broadcast_to(point, rows.shape)
        return erase((rows.astype(point.dtype) - point) - jnp.broadcast_to(low, rows.shape))

    distances = jax.tree.map(distance, x, reference, low)
    # Without the barrier a compiler may round `step` in one use and not in another; `rest` would belong to neither.
    step = jax.lax.optimization_barrier(mean(distances))
    left = jax.tree.map(lambda rows, step: erase(rows - jnp.broadcast_to(step, rows.shape)), distances, step)
    rest = mean(left)
    square = mean(jax.tree.map(jnp.square, left))
    variance = jax.tree.map(lambda square, rest: jnp.maximum(square - jnp.square(rest), 0), square, rest)
    return BatchMoments(count, step, rest, variance)


def wide_zeros(example: PyTree[Array]) -> PyTree[Array]:
    """Returns zeros of a tree's shapes, in float32 or the wider type that a leaf has."""

    def of_leaf(leaf):
        dtype = jnp.asarray(leaf).dtype
        wide = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits > 32
        return jnp.zeros(jnp.shape(leaf), dtype if wide else jnp.float32)

    return jax.tree.map(of_leaf, example)


def _kept(reference, x, mask):
    """Returns the mask, after a look at all shapes."""
    points, rows = jax.tree.leaves(reference), jax.tree.leaves(x)
    if jax.tree.structure(reference) != jax.tree.structure(x):
        raise ValueError(f"moments of {jax.tree.structure(reference)} cannot take examples of {jax.tree.structure(x)}")
    batches = {jnp.shape(row)[: jnp.ndim(row) - point.ndim] for point, row in zip(points, rows, strict=True)}
    tails = [jnp.shape(row)[jnp.ndim(row) - point.ndim :] for point, row in zip(points, rows, strict=True)]
    if len(batches) > 1 or tails != [point.shape for point in points]:
        raise ValueError(
            "each array of examples needs the same batch axes before those of the moments; got shapes "
            f"{[jnp.shape(row) for row in rows]} for moments of shapes {[point.shape for point in points]}"
        )
    batch = batches.pop() if batches else ()
    if mask is None:
        return jnp.ones(batch, bool)
    if mask.shape != batch:
        raise ValueError(f"the mask needs the batch axes of the examples, {batch}; got {mask.shape}")
    return mask.astype(bool)
