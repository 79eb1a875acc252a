"""Trees."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

_Model = TypeVar("_Model")


def functions_as_nodes(model: _Model) -> _Model:
    """Makes the functions among a model's leaves part of its structure.

    `eqx.nn.MLP` and others keep their activation as a leaf, which `jax.jit`, `scan` and `cond` refuse. A function in a
    `jax.tree_util.Partial` is called as before and is no leaf.

    Args:
        model: Any tree.

    Returns:
        The tree, with every leaf that is a function wrapped.
    """

    def wrap(leaf):
        return jax.tree_util.Partial(leaf) if callable(leaf) and not eqx.is_array(leaf) else leaf

    return jax.tree.map(wrap, model)


def strong(tree: PyTree, types: PyTree = None) -> PyTree[Array]:
    """Makes arrays of all leaves and strips JAX's weak types, which make loops compile twice; keys stay.

    Args:
        tree: Arrays, or numbers.
        types: What has a `dtype` for every leaf, such as `jax.ShapeDtypeStruct` or another array; None to keep each
            leaf's own.

    Returns:
        The arrays.
    """

    def one(leaf: Any, dtype: Any) -> Any:
        return leaf if jnp.issubdtype(dtype, jax.dtypes.prng_key) else jnp.asarray(leaf, dtype)

    if types is None:
        return jax.tree.map(lambda leaf: one(leaf, jnp.result_type(leaf)), tree)
    return jax.tree.map(lambda leaf, like: one(leaf, like.dtype), tree, types)
