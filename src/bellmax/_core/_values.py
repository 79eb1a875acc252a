"""Action values, and transforms of values."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from ._numerics import multiply_no_nan


class ValueTransform(NamedTuple):
    """An invertible map of values, as a pair: networks predict `apply(value)`, `invert` brings a prediction back.

    Attributes:
        apply: From the units of the environment to those of the network.
        invert: Back.
    """

    apply: Callable[[Array], Array]
    invert: Callable[[Array], Array]


def inverted(value: Array, transform: ValueTransform | None) -> Array:
    """Brings predictions back to the units of the environment; what is masked with −∞ stays so, without a gradient."""
    if transform is None:
        return value
    masked = jnp.isneginf(value)
    return jnp.where(masked, -jnp.inf, transform.invert(jnp.where(masked, 0, value)))


def take_action(q: Float[Array, "*batch actions"], action: Integer[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Returns the value of one action; NaN for an index outside, where plain indexing would return another's."""
    chosen = jax.nn.one_hot(action, q.shape[-1], dtype=bool)
    return jnp.where(jnp.any(chosen, axis=-1), jnp.sum(jnp.where(chosen, q, 0), axis=-1), jnp.nan)


def greedy_action(q: Float[Array, "*batch actions"]) -> Integer[Array, "*batch"]:
    """Returns the best action, the first of equals; −1, of which `take_action` makes NaN, where a value is NaN."""
    return jnp.where(jnp.isnan(q).any(axis=-1), -1, jnp.argmax(q, axis=-1))


def expected_value(q: Float[Array, "*batch actions"], probs: Float[Array, "*batch actions"]) -> Float[Array, "*batch"]:
    """Returns Σ p q; what has probability zero adds nothing, −∞ included."""
    return jnp.sum(multiply_no_nan(q, probs), axis=-1)
