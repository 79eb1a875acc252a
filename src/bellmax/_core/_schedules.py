"""Hyperparameters that may change as training goes on."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from ._checked import RealScalarLike

Scheduled = RealScalarLike | Callable[[Float[Array, ""]], Any]
"""A number, or a function of the count of environment steps, such as those of `optax.schedules`."""


def value_at(scheduled: Scheduled, step: Float[Array, ""]) -> RealScalarLike:
    """Returns a hyperparameter's value at a count of environment steps."""
    return scheduled(step) if callable(scheduled) else scheduled
