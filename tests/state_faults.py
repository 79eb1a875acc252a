"""Plants faults in modules that define a state."""

import itertools
import types

from faults import execute, source_of

_number = itertools.count()


def faulty_module(name: str, old: str, new: str) -> types.ModuleType:
    """Executes a module with one change under a name of its own.

    Beartype takes types of the same qualified name for one type, and would refuse the states of a copy of the module.
    """
    source = source_of(name)
    assert source.count(old) == 1, f"{old!r} is in {name} {source.count(old)} times"
    return execute(f"{name}_{next(_number)}", source.replace(old, new))
