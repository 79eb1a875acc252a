"""Trees."""

from typing import TypeVar

import equinox as eqx
import jax

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
