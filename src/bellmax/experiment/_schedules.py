"""Schedules as text."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, Scheduled


class Linear(eqx.Module):
    """A straight line, then a constant. Its numbers may be arrays, so that schedules can be swept in one program.

    Attributes:
        first: Value at the start.
        last: Value from `duration` on.
        duration: Environment steps; above 0.
    """

    first: RealScalarLike
    last: RealScalarLike
    duration: RealScalarLike

    def __call__(self, step: Float[Array, ""]) -> RealScalarLike:
        """Returns the value at a count of environment steps."""
        left = 1 - jnp.clip(step, 0, self.duration) / self.duration
        return (self.first - self.last) * left + self.last


def parse_schedule(text: str, total_steps: int) -> Scheduled:
    """Reads a number, or `linear:FROM:TO` with an optional `:UNTIL`.

    Args:
        text: Such as `2.5e-4`, `linear:2.5e-4:0` (over the whole run), `linear:1:0.05:0.5` (over its first half) or
            `linear:1:0.05:10000` (over 10,000 environment steps).
        total_steps: Environment steps of the run.

    Returns:
        The number, or a function of the count of environment steps.

    Raises:
        ValueError: If the text is neither.

    Example:
        >>> float(parse_schedule("linear:1:0:0.5", 1000)(250))
        0.5
    """
    kind, *numbers = text.split(":")
    try:
        values = [float(number) for number in numbers or [kind]]
        if not all(map(math.isfinite, values)) or (numbers and (kind != "linear" or len(values) not in (2, 3))):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"expected a number, or linear:FROM:TO[:UNTIL], UNTIL being a share of the run or a count; got {text!r}"
        ) from None
    if not numbers:
        return values[0]
    until = values[2] if len(values) == 3 else 1.0
    if until <= 0:
        raise ValueError(f"a schedule must last longer than nothing; got {text!r}")
    return Linear(values[0], values[1], max(1, round(until * total_steps if until <= 1 else until)))
