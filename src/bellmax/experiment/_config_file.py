"""Configuration files: the flags of a command, written down."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from ._configuration import UsageError, choose

_TABLES = ("hyperparameters", "settings")
_IGNORED = ("versions", "device")
_NAMES = ("algorithm", "environment")


class ConfigFile:
    """The values of a TOML, YAML or JSON file, such as the `config.json` of a run.

    Each is named like its flag, `learning-rate` or `learning_rate`, at the top or in a table `hyperparameters` or
    `settings`. `algorithm` and `environment` stand for the words of the command.

    Attributes:
        values: By name, with underscores.
    """

    def __init__(self, path: str | Path | None):
        """Reads a file, None for one that holds nothing; what cannot be read raises `UsageError`."""
        self.path, self.values = path, {}
        if path is None:
            return
        content = _read(Path(path))
        if not isinstance(content, Mapping):
            raise UsageError(f"{path} must hold names and values; got {type(content).__name__}")
        tables = [content[name] for name in _TABLES if isinstance(content.get(name), Mapping)]
        top = {name: value for name, value in content.items() if name not in _TABLES}
        for table in (top, *tables):
            for name, value in table.items():
                known = str(name).replace("-", "_")
                if known in self.values:
                    raise UsageError(f"{path} names {known} twice")
                if known not in _IGNORED and value is not None:
                    self.values[known] = value

    def names(self, given: list[str]) -> list[str]:
        """Returns algorithm and environment; words of the command go before those of the file."""
        return [*given, *(str(self.values[name]) for name in _NAMES[len(given) :] if name in self.values)]

    def words(self, options: type) -> list[str]:
        """Returns the flags that the values stand for.

        Args:
            options: A dataclass that has a field for each flag.

        Raises:
            UsageError: If a value has no flag.
        """
        known = {field.name: field for field in dataclasses.fields(options)}
        words = []
        for name, value in self.values.items():
            if name in _NAMES:
                continue
            try:
                choose("flag", name, known)
            except UsageError as error:
                raise UsageError(f"{self.path}: {error}") from None
            kind = get_args(known[name].type)[0]
            if kind is bool and not all(
                isinstance(each, bool) for each in (value if isinstance(value, list) else [value])
            ):
                raise UsageError(f"{self.path}: {name} is true or false; got {value}")
            if value is not known[name].default:  # a switch that is off has no words
                words += _words(f"--{name.replace('_', '-')}", kind, value)
        return words


def as_toml(values: Mapping[str, Any]) -> str:
    """Writes values as TOML that `ConfigFile` reads; those that are None are left out."""
    lines = []
    for name, value in values.items():
        if value is not None:
            text = str(value) if isinstance(value, float) else json.dumps(value, default=str)
            lines.append(f"{name.replace('_', '-')} = {text}\n")
    return "".join(lines)


def _words(flag: str, kind: Any, value: Any) -> list[str]:
    """Returns the words of one flag; a list is several words where the flag takes several, else a list for a sweep."""
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if not isinstance(value, list):
        return [f"{flag}={value}"]
    if get_origin(kind) is tuple and not any(isinstance(each, list) for each in value):
        return [flag, *map(str, value)]
    texts = [" ".join(map(_text, each)) if isinstance(each, list) else _text(each) for each in value]
    return [flag, *",".join(texts).split(" ")]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _read(path: Path) -> Any:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix == ".json":
            return json.loads(text)
        if path.suffix in (".yaml", ".yml"):
            import yaml

            return yaml.safe_load(text)
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
        raise
    raise UsageError(f"a configuration file ends in .toml, .yaml, .yml or .json; got {path}")
