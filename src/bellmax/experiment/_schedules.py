"""Schedules as text."""

import math

import optax

from .._core import Scheduled


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
    return optax.linear_schedule(values[0], values[1], max(1, round(until * total_steps if until <= 1 else until)))
