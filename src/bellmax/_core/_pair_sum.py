"""Numbers kept as two words, so that small steps are not lost in large sums."""

import jax
from jaxtyping import Array, PyTree


def add_pair(high: Array, low: Array, step: Array, rest: Array) -> tuple[Array, Array]:
    """Adds `step + rest` to `high + low`.

    Args:
        high: The number, rounded to its type.
        low: What the rounding left over.
        step: The larger part of what is added.
        rest: The smaller part.

    Returns:
        The sum, again as a rounded number and what is left over.
    """
    total = high + step
    part = total - high
    lost = (high - (total - part)) + (step - part)
    low = low + (lost + rest)
    rounded = total + low
    return rounded, low - (rounded - total)


def unzip(tree: PyTree, like: PyTree, length: int = 2) -> tuple[PyTree, ...]:
    """Turns a tree of tuples into a tuple of trees of another's structure."""
    return jax.tree.transpose(jax.tree.structure(like), jax.tree.structure((0,) * length), tree)
