"""The one-step target that the temporal-difference errors and the distributional losses share."""

import jax
from jaxtyping import Array

from .._core import ValueTransform, multiply_no_nan


def one_step_target(reward: Array, discount: Array, next_value: Array, transform: ValueTransform | None) -> Array:
    """Returns f(R + γ V'); V' is in the units of the reward, the result in those of the predictions."""
    target = reward + multiply_no_nan(next_value, discount)
    return target if transform is None else transform.apply(target)


def one_step_error(
    prediction: Array, reward: Array, discount: Array, next_value: Array, transform: ValueTransform | None = None
) -> Array:
    """Returns f(R + γ V') − prediction with the target's gradient stopped; V' is in the units of the reward."""
    return jax.lax.stop_gradient(one_step_target(reward, discount, next_value, transform)) - prediction
