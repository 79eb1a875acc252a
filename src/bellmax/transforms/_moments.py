"""Running mean and variance of all that was seen."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from .._core import Counter, add_pair, checked, unzip
from ._batch_moments import batch_moments, wide_zeros


class Moments(eqx.Module):
    """Count, mean and variance of examples, for each element of a tree of arrays.

    Mean and variance are kept as two words each, a rounded number and what the rounding left over: after 10^9 examples
    a batch of 64 still moves them by the right amount.

    Attributes:
        count: How many examples.
        mean: Their mean, in their units, at least float32.
        variance: Mean square of their distances from the mean, in their units squared.
        mean_rest: Second word of the mean.
        variance_rest: Second word of the variance.
    """

    count: Counter
    mean: PyTree[Array]
    variance: PyTree[Array]
    mean_rest: PyTree[Array]
    variance_rest: PyTree[Array]


@checked
def init_moments(example: PyTree) -> Moments:
    r"""Starts moments of nothing.

    $$n = 0, \qquad \mu = 0, \qquad \sigma^2 = 0$$

    Args:
        example: One example: an array, or a tree of them, without batch axes. Only shapes and types are used; integers
            are counted in float32.

    Returns:
        The moments.

    Example:
        >>> import jax.numpy as jnp
        >>> init_moments(jnp.ones(2)).mean.tolist()
        [0.0, 0.0]

    References:
        Chan, Golub and LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979.
    """
    zeros = wide_zeros(example)
    return Moments(Counter.zero(), *(jax.tree.map(jnp.copy, zeros) for _ in range(4)))


@checked
def update_moments(
    moments: Moments,
    x: PyTree[Shaped[Array | np.ndarray, "..."]],
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    *,
    axis_name: str | None = None,
) -> Moments:
    r"""Merges a batch of examples into moments.

    $$n' = n + m, \quad \mu' = \mu + \tfrac{m}{n'}(\bar x - \mu), \quad
    \sigma'^2 = \sigma^2 + \tfrac{m}{n'}\left(s^2 - \sigma^2 + \tfrac{n}{n'}(\bar x - \mu)^2\right)$$

    Here $m, \bar x, s^2$ are count, mean and variance of the batch, over all devices. A batch of nothing changes
    nothing; NaN in an example that counts stays in the moments. Differentiable in the examples and in the moments.

    Args:
        moments: The moments so far; the same on every device.
        x: Examples: a tree of the structure of the moments, each array with the same batch axes (any number of them)
            before its own.
        mask: True, or anything but 0, for the examples that count; not a weight. What is dropped may be NaN.
        axis_name: Name of the mapped device axis, or None. Each device brings its own number of examples.

    Returns:
        The moments of all examples; the same on every device.

    Raises:
        ValueError: If structure or shapes differ from those of the moments.

    Example:
        >>> import jax.numpy as jnp
        >>> moments = update_moments(init_moments(jnp.zeros(())), jnp.array([1.0, 3.0]))
        >>> int(moments.count), float(moments.mean), float(moments.variance)
        (2, 2.0, 1.0)

    References:
        Chan, Golub and LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979.
    """
    batch = batch_moments(moments.mean, moments.mean_rest, x, mask, axis_name)
    count = moments.count + batch.count
    zeros = jax.tree.map(jnp.zeros_like, batch.variance)
    return _merged(moments, count, _share(batch.count, count), batch.step, batch.rest, batch.variance, zeros)


@checked
def merge_moments(moments: Moments, other: Moments) -> Moments:
    r"""Joins the moments of two sets of examples.

    $$n' = n + m, \quad \mu' = \mu + \tfrac{m}{n'}(\nu - \mu), \quad
    \sigma'^2 = \sigma^2 + \tfrac{m}{n'}\left(s^2 - \sigma^2 + \tfrac{n}{n'}(\nu - \mu)^2\right)$$

    Args:
        moments: $n, \mu, \sigma^2$.
        other: $m, \nu, s^2$, of the same shapes.

    Returns:
        The moments of both sets together. Differentiable in both.

    Raises:
        ValueError: If structure or shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> one = update_moments(init_moments(jnp.zeros(())), jnp.array([1.0, 3.0]))
        >>> both = merge_moments(one, one)
        >>> int(both.count), float(both.mean), float(both.variance)
        (4, 2.0, 1.0)

    References:
        Chan, Golub and LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979.
    """
    _check_alike(moments, other)
    low = moments.count + other.count.low
    count = Counter(low.high + other.count.high, low.low)
    distance = jax.tree.map(
        lambda mean, rest, other, other_rest: add_pair(other, other_rest, -mean, -rest),
        moments.mean,
        moments.mean_rest,
        other.mean,
        other.mean_rest,
    )
    step, rest = unzip(distance, moments.mean)
    return _merged(moments, count, _share(other.count, count), step, rest, other.variance, other.variance_rest)


def _merged(moments, count, share, step, rest, variance, variance_rest):
    """Moves moments towards those of other examples, which make up a share of all."""

    def of_leaf(mean, mean_rest, old, old_rest, step, rest, new, new_rest):
        by = share.astype(mean.dtype)
        moved = add_pair(mean, mean_rest, by * step, by * rest)
        gap, gap_rest = add_pair(new, new_rest, -old, -old_rest)
        square = (1 - by) * jnp.square(step + rest)
        spread, spread_rest = add_pair(old, old_rest, by * (gap + square), by * gap_rest)
        return moved[0], jnp.maximum(spread, 0), moved[1], jnp.where(spread < 0, 0, spread_rest)

    columns = (moments.mean, moments.mean_rest, moments.variance, moments.variance_rest)
    rows = jax.tree.map(of_leaf, *columns, step, rest, variance, variance_rest)
    return Moments(count, *unzip(rows, moments.mean, 4))


def _check_alike(moments, other):
    trees = [jax.tree.structure(each.mean) for each in (moments, other)]
    if trees[0] != trees[1]:
        raise ValueError(f"merge_moments: needs moments of one structure; got {trees[0]} and {trees[1]}")
    shapes = [[leaf.shape for leaf in jax.tree.leaves(each.mean)] for each in (moments, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"merge_moments: needs moments of the same shapes; got {shapes[0]} and {shapes[1]}")


def _share(part, count):
    """Returns part / count, zero if there is nothing."""
    part = part.as_float() if isinstance(part, Counter) else part.astype(float)
    return part / jnp.maximum(count.as_float(), 1)
