"""Actions that may not be taken."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from .._core import guard

Mask = (
    Bool[Array, "*batch actions"]
    | Integer[Array, "*batch actions"]
    | Bool[Array, " actions"]
    | Integer[Array, " actions"]
)
"""True, or any whole number but 0, for legal actions; of the shape of the values or one for all."""


def forbid(values: Float[Array, "*batch actions"], mask: Array | None, function: str) -> Float[Array, "*batch actions"]:
    """Replaces the values of illegal actions by −∞, whatever they are.

    Args:
        values: Action values or logits.
        mask: True for legal actions, of the shape of the values or one for all; None if all are legal.
        function: Name of the public function, for the error.

    Returns:
        The values.

    Raises:
        ValueError: If the mask is known and forbids every action somewhere.
    """
    if mask is None:
        return values
    mask = guard(mask, lambda mask: mask.any(-1), f"{function}: mask must leave at least one action legal")
    return jnp.where(_legal(mask, values.shape), values, -jnp.inf)


def shared_alike(mask: Array | None, shape: tuple[int, ...], dtype) -> Float[Array, "*batch actions"]:
    """Returns the uniform distribution over legal actions, in the shape of the values; NaN where there is none."""
    legal = (jnp.ones(shape, bool) if mask is None else _legal(mask, shape)).astype(dtype)
    return legal / jnp.sum(legal, axis=-1, keepdims=True)


def _legal(mask: Array, shape: tuple[int, ...]) -> Bool[Array, "*batch actions"]:
    return jnp.broadcast_to(mask.astype(bool), shape)
