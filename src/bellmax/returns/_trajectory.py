"""What the recurrences of this folder do to their arguments first."""

import jax.numpy as jnp
from jaxtyping import Array

from .._core import RealScalarLike, guard


def need_a_step(function: str, rewards: Array) -> None:
    """Refuses an empty trajectory, by the name of the function that was called."""
    if rewards.shape[0] == 0:
        raise ValueError(f"{function}: a return needs at least one step; got a trajectory of length 0")


def aligned(function: str, lambda_: RealScalarLike | Array, rewards: Array) -> Array:
    """Gives λ the shape and type of the rewards; refuses a number outside [0, 1] and an empty trajectory."""
    need_a_step(function, rewards)
    if jnp.ndim(lambda_) == 0:
        lambda_ = guard(lambda_, lambda x: (x >= 0) & (x <= 1), f"{function}: lambda_ must lie in [0, 1]")
    return jnp.broadcast_to(jnp.asarray(lambda_, rewards.dtype), rewards.shape)


def without_terminal(values: Array, discounts: Array) -> Array:
    """Replaces what is not finite in a terminal state by zero; values may have an axis more, of actions.

    A zero discount erases such values later on anyway, but only here, before they meet probabilities and traces, can
    the gradients of those be kept from becoming NaN.
    """
    terminal = discounts == 0
    terminal = terminal if values.ndim == terminal.ndim else terminal[..., None]
    return jnp.where(terminal & ~jnp.isfinite(values), 0, values)
