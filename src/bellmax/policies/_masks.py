"""Actions that may not be taken."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core import guard


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
    return jnp.where(jnp.broadcast_to(some_legal(mask, function), values.shape), values, -jnp.inf)


def some_legal(mask: Bool[Array, "*batch actions"], function: str) -> Bool[Array, "*batch actions"]:
    """Returns the mask; a known one that forbids every action somewhere raises ValueError."""
    return guard(mask, lambda mask: mask.any(-1), f"{function}: mask must leave at least one action legal")


def shared_alike(mask: Bool[Array, "*batch actions"], dtype) -> Float[Array, "*batch actions"]:
    """Returns the uniform distribution over legal actions; NaN where there is none."""
    legal = mask.astype(dtype)
    return legal / jnp.sum(legal, axis=-1, keepdims=True)
