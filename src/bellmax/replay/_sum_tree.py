"""Sums of sums, to draw in proportion to many numbers that change a few at a time."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

_WIDTH = 16
"""Children of a node."""


class SumTree(eqx.Module):
    """Numbers, the sums of each 16 of them, the sums of each 16 of those, and so on.

    A draw and a change cost 16 numbers a level: the logarithm of how many there are. A sum is always computed anew from
    what it is the sum of, so that nothing drifts.

    Attributes:
        levels: The numbers, then their sums; the last has one row.

    Example:
        >>> tree = SumTree.zeros(100).set(jnp.array([7, 42]), jnp.array([1.0, 3.0]))
        >>> float(tree.total)
        4.0
        >>> sorted(set(tree.draw(50, key=jax.random.key(0)).tolist()))
        [7, 42]
    """

    levels: tuple[Float[Array, "*lanes rows width"], ...]

    @staticmethod
    def zeros(count: int) -> "SumTree":
        """Starts with a count of zeros."""
        levels = []
        while not levels or count > 1:
            count = -(-count // _WIDTH)
            levels.append(jnp.zeros((count, _WIDTH)))
        return SumTree(tuple(levels))

    @property
    def total(self) -> Float[Array, ""]:
        """The sum of all."""
        return jnp.sum(self.levels[-1])

    def get(self, indices: Int[Array, " some"]) -> Float[Array, " some"]:
        """Reads some of the numbers."""
        return self.levels[0].reshape(-1)[indices]

    def set(
        self, indices: Int[Array, " some"], values: Float[Array, " some"], where: Bool[Array, " some"] | bool = True
    ) -> "SumTree":
        """Changes some of the numbers.

        Args:
            indices: Which ones; of an index given more than once the largest value counts.
            values: To what; not negative, at most 1e30 or so, so that no sum overflows.
            where: Which of these changes to make.

        Returns:
            The tree.
        """
        numbers = self.levels[0].reshape(-1)
        chosen = jnp.where(where, indices, numbers.size)
        numbers = numbers.at[chosen].set(-1, mode="drop").at[chosen].max(values, mode="drop")
        levels = [numbers.reshape(self.levels[0].shape)]
        for sums in self.levels[1:]:
            indices = indices // _WIDTH
            changed = jnp.sum(levels[-1][indices], axis=-1)
            levels.append(sums.reshape(-1).at[indices].set(changed).reshape(sums.shape))
        return SumTree(tuple(levels))

    def draw(self, count: int, *, key: Key[Array, ""]) -> Int[Array, " count"]:
        """Draws indices in proportion to their numbers, with replacement; never one whose number is zero.

        From the top down a node is chosen among its siblings by a draw of its own, so that the resolution of a draw
        does not depend on how many numbers there are. If all are zero the index is 0.
        """
        draws = jax.random.uniform(key, (len(self.levels), count))
        index = jnp.zeros(count, jnp.int32)
        for level, draw in zip(self.levels[::-1], draws, strict=True):
            # One addition after the other: a zero leaves the sum as it is, so no draw can fall on it.
            up_to = list(itertools.accumulate(jnp.moveaxis(level[index], -1, 0)))
            passed = sum((each <= draw * up_to[-1]).astype(jnp.int32) for each in up_to)
            index = index * _WIDTH + jnp.where(up_to[-1] > 0, passed, 0)
        return index
