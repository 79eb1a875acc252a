"""What the losses of categorical and of quantile distributions share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import at_least_float32, greedy_action, take_action


def widen(*arrays: Array) -> tuple[Array, ...]:
    """Brings arrays to their common type, float32 or wider."""
    dtype = jnp.result_type(*(at_least_float32(array) for array in arrays))
    return tuple(array.astype(dtype) for array in arrays)


def take_distribution(
    distributions: Float[Array, "*batch actions atoms"], action: Integer[Array, "*batch"]
) -> Float[Array, "*batch atoms"]:
    """Returns one action's numbers; NaN for an index outside."""
    return jax.vmap(take_action, (-1, None), -1)(distributions, action)


def take_greedy(
    distributions: Float[Array, "*batch actions atoms"], q: Float[Array, "*batch actions"]
) -> Float[Array, "*batch atoms"]:
    """Returns the numbers of the best action; NaN if a value is NaN, for then none is known to be the best."""
    return take_distribution(distributions, greedy_action(q))
