"""Target networks."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._core import RealScalarLike, mix

_Model = TypeVar("_Model")


def copied(model: _Model) -> _Model:
    """Returns a target that equals the model, in memory of its own: one buffer under two leaves cannot be donated."""
    return jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, model)


def moved(target: _Model, online: _Model, step: RealScalarLike, due: bool | Bool[Array, ""] = True) -> _Model:
    r"""Moves a target towards the online network.

    $$\bar\theta \leftarrow (1 - \tau)\,\bar\theta + \tau\,\theta$$

    Args:
        target: $\bar\theta$; leaves that are not floating-point arrays stay as they are.
        online: $\theta$.
        step: $\tau$, from 0 to 1.
        due: Whether it moves at all.

    Returns:
        The target.
    """

    def move(old, new):
        if not eqx.is_inexact_array(old):
            return old
        return jnp.where(due, mix(old, new, jnp.asarray(step, old.dtype)), old)

    return jax.tree.map(move, target, online)
