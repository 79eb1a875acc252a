"""The one-step target that the temporal-difference errors share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._core import ValueTransform, multiply_no_nan


def inverted(value: Array, transform: ValueTransform | None) -> Array:
    """Brings predictions back to the units of the reward; what is masked with −∞ stays so."""
    if transform is None:
        return value
    masked = jnp.isneginf(value)
    return jnp.where(masked, -jnp.inf, transform.invert(jnp.where(masked, 0, value)))


def one_step_error(
    prediction: Array, reward: Array, discount: Array, next_value: Array, transform: ValueTransform | None = None
) -> Array:
    """Returns f(R + γ V') − prediction with the target's gradient stopped; V' is in the units of the reward."""
    target = reward + multiply_no_nan(next_value, discount)
    if transform is not None:
        target = transform.apply(target)
    return jax.lax.stop_gradient(target) - prediction
