"""What the recurrences of this folder do to their arguments first."""

import jax.numpy as jnp
from jaxtyping import Array

from .._core import RealScalarLike


def aligned(function: str, lambda_: RealScalarLike | Array, *sequences: Array) -> tuple[Array, ...]:
    """Brings sequences and λ to one type and λ to their shape; refuses an empty trajectory by the function's name.

    Returns:
        The sequences, then λ.
    """
    if sequences[0].shape[0] == 0:
        raise ValueError(f"{function}: a return needs at least one step; got a trajectory of length 0")
    dtype = jnp.result_type(*sequences)
    lambdas = jnp.broadcast_to(jnp.asarray(lambda_, dtype), sequences[0].shape)
    return (*(sequence.astype(dtype) for sequence in sequences), lambdas)


def without_terminal(values: Array, discounts: Array) -> Array:
    """Replaces what is not finite in a terminal state by zero; values may have an axis more, of actions.

    A zero discount erases such values later on anyway, but only here, before they meet probabilities and traces, can
    the gradients of those be kept from becoming NaN.
    """
    terminal = discounts == 0
    terminal = terminal if values.ndim == terminal.ndim else terminal[..., None]
    return jnp.where(terminal & ~jnp.isfinite(values), 0, values)
