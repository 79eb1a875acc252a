"""What a user names as `module:name` or `path.py:name`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ._configuration import UsageError


def is_place(name: str) -> bool:
    """Tells whether a name is written as `module:name` or `path.py:name`."""
    place, _, attribute = name.rpartition(":")
    is_module = bool(place) and all(part.isidentifier() for part in place.split("."))
    return attribute.isidentifier() and (is_module or place.endswith(".py"))


def look_up(name: str) -> Any:
    """Imports a module, of the working directory too, or executes a file, and takes one thing out of it.

    Args:
        name: `module:name` or `path.py:name`.

    Raises:
        UsageError: If it cannot be imported, or has no such thing.
    """
    place, _, attribute = name.rpartition(":")
    if place.endswith(".py") and not Path(place).expanduser().is_file():
        raise UsageError(f"there is no file {place}")
    try:
        module = _execute(Path(place).expanduser()) if place.endswith(".py") else _import(place)
    except Exception as error:
        raise UsageError(f"{place} cannot be imported: {error!r}") from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise UsageError(f"{place} has no {attribute!r}; it has {', '.join(names)}")
    return getattr(module, attribute)


def _import(place: str) -> ModuleType:
    """Imports a module, of the working directory too."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    finally:
        sys.path.pop(0)


def _execute(path: Path) -> ModuleType:
    """Executes a file as the module of its name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where pickle and dataclasses look for it
    spec.loader.exec_module(module)
    return module
