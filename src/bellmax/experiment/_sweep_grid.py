"""Which configurations a sweep holds."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._configuration import Configuration, UsageError, choose, hyperparameters_of

RUN_KNOBS = ("steps", "num_envs")
"""What can be swept beside hyperparameters."""
_MOST = 1000


def grid(base: Configuration, values: Mapping[str, Sequence[Any]]) -> list[Configuration]:
    """Returns the product of lists of values, the last list changing fastest.

    Args:
        base: Gives every value that is not swept.
        values: Names of hyperparameters, `steps` or `num_envs`, each with its values.

    Returns:
        The configurations.

    Raises:
        UsageError: If there are fewer than two or more than a thousand, a list is empty or has a value twice, or a name
            is unknown.
    """
    known = [*hyperparameters_of(base.algorithm), *RUN_KNOBS]
    for name, each in values.items():
        choose("hyperparameter", name, known)
        seen = [comparable(value) for value in each]
        twice = [value for place, value in enumerate(each) if seen[place] in seen[:place]]
        if twice:
            raise UsageError(f"{name} has the value {as_text(twice[0])} twice")
    count = math.prod(map(len, values.values()))
    if not values or count < 2:
        raise UsageError("a sweep needs two values or more of some hyperparameter, such as --learning-rate 1e-4,1e-3")
    if count > _MOST:
        raise UsageError(f"a sweep holds at most {_MOST:,} configurations; got {count:,}")
    return [_changed(base, dict(zip(values, point, strict=True))) for point in itertools.product(*values.values())]


def value_of_knob(configuration: Configuration, name: str) -> Any:
    """Returns the value of a hyperparameter, of `steps` or of `num_envs`."""
    return getattr(configuration, name) if name in RUN_KNOBS else configuration.hyperparameters[name]


def as_text(value: Any) -> str:
    """Writes a value as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def as_number(value: Any) -> float | None:
    """Returns a value as a number, a schedule's text too where it is one; None where it is no finite one."""
    if isinstance(value, bool | list | tuple):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _changed(base: Configuration, point: dict[str, Any]) -> Configuration:
    of_run = {name: value for name, value in point.items() if name in RUN_KNOBS}
    hyperparameters = {name: value for name, value in point.items() if name not in RUN_KNOBS}
    return dataclasses.replace(base, **of_run, hyperparameters=base.hyperparameters | hyperparameters)


def comparable(value: Any) -> Any:
    """Returns what two ways to write one value have in common: 1e-3 is 0.001."""
    number = as_number(value)
    return as_text(value) if number is None else number
