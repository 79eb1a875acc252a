"""Plants a fault: executes a module's source with one exact change in it, beside the real module."""

import importlib
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Sequence

_number = itertools.count()


def execute(name: str, source: str) -> types.ModuleType:
    """Executes source as a module that stands beside the real one, under a name of its own.

    Beartype takes types of the same qualified name for one type, and would refuse the states of a copy of the module.
    """
    module = types.ModuleType(f"{name}_{next(_number)}")
    module.__package__ = name.rpartition(".")[0]
    exec(compile(source, f"<fault in {name}>", "exec"), module.__dict__)
    return module


def source_of(name: str) -> str:
    return inspect.getsource(importlib.import_module(name))


def changed(name: str, old: str, new: str) -> types.ModuleType:
    """Executes a module with one change, which must be found exactly once.

    Where it is not, that is no AssertionError: it would pass for the fault being found.
    """
    source = source_of(name)
    if source.count(old) != 1:
        raise LookupError(f"{old!r} is in {name} {source.count(old)} times")
    return execute(name, source.replace(old, new))


def plant(module: str, function: str, old: str, new: str) -> Callable:
    """Returns a function with a fault in it."""
    return getattr(changed(module, old, new), function)


def copies(monkeypatch, package: str, modules: Sequence[str], module: str = "", old: str = "", new: str = "") -> dict:
    """Executes modules of a package anew, in the order of their imports, one of them with a change.

    Each takes what those before it define; the copies stand in the place of the modules as long as the monkeypatch.

    Returns:
        All that they define, by name.
    """
    found = {}
    for each in modules:
        name = f"{package}.{each}"
        copy = changed(name, old, new) if each == module else execute(name, source_of(name))
        monkeypatch.setitem(sys.modules, name, copy)
        found |= vars(copy)
    return found
