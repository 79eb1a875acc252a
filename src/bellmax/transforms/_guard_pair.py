"""Checks of two knobs that belong together."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._core import RealScalarLike, guard


def guard_pair(low: RealScalarLike, high: RealScalarLike, is_valid: Callable[[Any, Any], Any], message: str):
    """As `guard`, for two numbers.

    Args:
        low: The first.
        high: The second.
        is_valid: Maps both to a boolean; NaN should give False.
        message: What is expected, named as the user named it.

    Returns:
        Both as one array, to be used in their place.
    """
    if isinstance(low, Tracer) or isinstance(high, Tracer):
        pair = jnp.stack([jnp.asarray(low, float), jnp.asarray(high, float)])
    else:
        pair = np.array([low, high], float)
    return guard(pair, lambda pair: is_valid(pair[0], pair[1]), message)
