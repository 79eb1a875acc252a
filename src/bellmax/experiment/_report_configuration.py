"""What a report says of a run's configuration."""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

from ._configuration import ALGORITHMS, Configuration, preset_of
from ._html import paragraph, section, table
from ._settings import Settings
from ._sweep_grid import as_text, comparable

_ONCE = {"seeds": 1, "key": 0}
"""What `bellmax train` takes for every algorithm."""


def configuration_table(configuration: Configuration, without: Sequence[str] = ()) -> str:
    """Returns what defines a run, and marks what is neither the preset's nor the default's."""
    default, preset = _known_values(configuration)
    rows, marked = [], []
    for name, value in _values(configuration).items():
        if name in without:
            continue
        usual = as_text(default[name]) if name in default and not _same(value, default[name]) else ""
        if name in preset and not _same(value, preset[name]):
            marked.append(len(rows))
        rows.append((name.replace("_", "-"), as_text(value), usual))
    text = (
        "Marked: set for this run. The last column has the algorithm's default where the value is another one, by a "
        "preset or by hand."
    )
    return section("Configuration", paragraph(text, "soft"), table(["", "value", "default"], rows, marked=marked))


def command_of(configuration: Configuration, settings: Any) -> str:
    """Returns a command that trains the same run again."""
    words = ["bellmax", "train", configuration.algorithm, configuration.environment]
    _, preset = _known_values(configuration)
    changed = {
        name: value
        for name, value in _values(configuration).items()
        if name not in ("algorithm", "environment") and not (name in preset and _same(value, preset[name]))
    }
    usual = dataclasses.asdict(Settings())
    if isinstance(settings, dict):
        changed |= {name: value for name, value in settings.items() if value != usual.get(name) and value is not None}
    for name, value in changed.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *as_text(value).split()]
    return shlex.join(words)


def _values(configuration: Configuration) -> dict[str, Any]:
    values = dataclasses.asdict(configuration)
    return values | values.pop("hyperparameters")


def _known_values(configuration: Configuration) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the algorithm's defaults, and the preset of the environment; of an algorithm that is unknown neither."""
    if configuration.algorithm not in ALGORITHMS:
        return _ONCE, _ONCE
    plain, preset = (preset_of(configuration.algorithm, configuration.environment, name) for name in ("none", None))
    return plain | _ONCE, preset | _ONCE


def _same(one: Any, other: Any) -> bool:
    return comparable(one) == comparable(other)
