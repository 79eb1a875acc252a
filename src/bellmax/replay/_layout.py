"""Trees of arrays as rows of words: one row is read in one go, where a tree is read leaf by leaf."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, UInt32

_WORD = 4


class Layout(NamedTuple):
    """How a tree lies in a row: first the leaves of whole words, then the bytes of the others.

    Attributes:
        structure: The tree's.
        leaves: Shape and type of each leaf.

    Example:
        >>> tree = {"a": jnp.array([1.0, 2.0]), "b": jnp.array(True)}
        >>> layout = Layout.of(tree)
        >>> layout.words
        3
        >>> layout.unpack(layout.pack(tree))["a"].tolist()
        [1.0, 2.0]
    """

    structure: Any
    leaves: tuple[tuple[tuple[int, ...], np.dtype], ...]

    @staticmethod
    def of(example: PyTree[Array]) -> "Layout":
        """Reads the layout off an example without leading axes."""
        leaves, structure = jax.tree.flatten(example)
        return Layout(structure, tuple((tuple(leaf.shape), np.dtype(leaf.dtype)) for leaf in leaves))

    @property
    def words(self) -> int:
        """Words in a row."""
        small = sum(_bytes(*leaf) for leaf in self.leaves if leaf[1].itemsize < _WORD)
        return sum(_bytes(*leaf) for leaf in self.leaves if leaf[1].itemsize >= _WORD) // _WORD - (-small // _WORD)

    def pack(self, tree: PyTree[Array]) -> UInt32[Array, "*lead words"]:
        """Makes rows; whatever axes the leaves have before those of the layout lead."""
        large, small = [], []
        for leaf, (shape, dtype) in zip(jax.tree.leaves(tree), self.leaves, strict=True):
            unit, found = (jnp.uint32, large) if dtype.itemsize >= _WORD else (jnp.uint8, small)
            leaf = jnp.asarray(leaf, dtype)
            lead = leaf.shape[: leaf.ndim - len(shape)]
            leaf = leaf.astype(unit) if dtype.kind == "b" else jax.lax.bitcast_convert_type(leaf, unit)
            found.append(leaf.reshape(*lead, _bytes(shape, dtype) // np.dtype(unit).itemsize))
        if small:
            bytes_ = jnp.concatenate(small, axis=-1)
            bytes_ = jnp.pad(bytes_, [(0, 0)] * (bytes_.ndim - 1) + [(0, -bytes_.shape[-1] % _WORD)])
            large.append(jax.lax.bitcast_convert_type(bytes_.reshape(*bytes_.shape[:-1], -1, _WORD), jnp.uint32))
        return jnp.concatenate(large, axis=-1)

    def unpack(self, rows: UInt32[Array, "*lead words"]) -> PyTree[Array]:
        """Reads rows."""
        whole = sum(_bytes(*leaf) for leaf in self.leaves if leaf[1].itemsize >= _WORD) // _WORD
        lead = rows.shape[:-1]
        bytes_ = jax.lax.bitcast_convert_type(rows[..., whole:], jnp.uint8).reshape(*lead, -1)
        at, leaves = {jnp.uint32: 0, jnp.uint8: 0}, []
        for shape, dtype in self.leaves:
            unit, source = (jnp.uint32, rows) if dtype.itemsize >= _WORD else (jnp.uint8, bytes_)
            size, count = np.dtype(unit).itemsize, _bytes(shape, dtype) // np.dtype(unit).itemsize
            part = source[..., at[unit] : at[unit] + count]
            at[unit] += count
            pieces = dtype.itemsize // size
            part = part.reshape(*lead, *shape, *((pieces,) if pieces > 1 else ()))
            leaves.append(part != 0 if dtype.kind == "b" else jax.lax.bitcast_convert_type(part, dtype))
        return jax.tree.unflatten(self.structure, leaves)


def _bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize
