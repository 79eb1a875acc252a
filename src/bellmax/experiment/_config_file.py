"""Configuration files: the flags of a command, written down."""

import dataclasses
import itertools
import json
import tomllib
from collections.abc import Container, Mapping
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
        top = {name: value for name, value in content.items() if name not in _TABLES}
        for table in (top, *(content.get(name) or {} for name in _TABLES)):
            if not isinstance(table, Mapping):
                raise UsageError(f"{path}: {' and '.join(_TABLES)} are tables of names and values; got {table}")
            for name, value in table.items():
                known = str(name).replace("-", "_")
                if known == "config":
                    raise UsageError(f"{path} names another file, {value}; put what it holds here")
                if known in self.values:
                    raise UsageError(f"{path} names {known} twice")
                if known not in _IGNORED and value is not None:
                    self.values[known] = value

    def names(self, given: list[str]) -> list[str]:
        """Returns algorithm and environment; words of the command go before those of the file."""
        rest = itertools.takewhile(self.values.__contains__, _NAMES[len(given) :])
        return [*given, *(str(self.values[name]) for name in rest)]

    def words(self, options: type, ignored: Container[str] = ()) -> list[str]:
        """Returns the flags that the values stand for.

        Args:
            options: A dataclass that has a field for each flag.
            ignored: Names that are left out.

        Raises:
            UsageError: If a value has no flag, or one of another type.
        """
        known = {field.name: field for field in dataclasses.fields(options)}
        words = []
        for name, value in self.values.items():
            if name in _NAMES or name in ignored:
                continue
            try:
                choose("flag", name, known)
            except UsageError as error:
                raise UsageError(f"{self.path}: {error}") from None
            kind, default = get_args(known[name].type)[0], known[name].default
            words += self._words(name, kind, value) if not (kind is bool and value is default) else []
        return words

    def _words(self, name: str, kind: Any, value: Any) -> list[str]:
        """Returns the words of one flag; a list is several words where the flag takes several, else for a sweep."""
        flag = f"--{name.replace('_', '-')}"
        nested = isinstance(value, list) and any(isinstance(each, list) for each in value)
        if isinstance(value, list) and get_origin(kind) is tuple and not nested:
            return [flag, *map(str, value)]
        values = value if isinstance(value, list) else [value]
        if any(isinstance(each, bool) != (kind is bool) for each in values):
            wanted = "is true or false" if kind is bool else "is not true or false"
            raise UsageError(f"{self.path}: {name} {wanted}; got {value}")
        if kind is bool and len(values) == 1:
            return [flag if values[0] else f"--no-{flag[2:]}"]
        texts = [" ".join(map(str, each)) if isinstance(each, list) else _text(each) for each in values]
        return [f"{flag}={texts[0]}"] if len(texts) == 1 and not nested else [flag, *",".join(texts).split(" ")]


def as_toml(values: Mapping[str, Any]) -> str:
    """Writes values as TOML that `ConfigFile` reads; those that are None are left out."""
    lines = []
    for name, value in values.items():
        if value is not None:
            text = str(value) if isinstance(value, float) else json.dumps(value, default=str)
            lines.append(f"{name.replace('_', '-')} = {text}\n")
    return "".join(lines)


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
