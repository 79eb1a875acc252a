"""Exponential weights over the examples of all devices."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def exponential_weights(
    scaled: Float[Array, "*batch"], weight: Array, axis_name: str | None
) -> tuple[Float[Array, "*batch"], Float[Array, ""]]:
    """Returns `weight · exp(scaled − largest)`, and the largest among the examples that have weight.

    The largest is taken over all devices; with no example at all it is zero. Infinities and NaN without weight vanish.
    Both are data: no gradient flows.
    """
    scaled = jax.lax.stop_gradient(scaled)
    weight = jax.lax.stop_gradient(weight).astype(scaled.dtype)
    counted = jnp.where(weight == 0, -jnp.inf, scaled)
    largest = jnp.max(counted, initial=-jnp.inf)
    if axis_name is not None:
        largest = jax.lax.pmax(largest, axis_name)
    largest = jnp.where(jnp.isneginf(largest), 0, largest)
    return weight * jnp.exp(counted - largest), largest
