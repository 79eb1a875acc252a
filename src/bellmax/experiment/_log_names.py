"""The names of back ends, and what a user may give in their place."""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from ._configuration import UsageError, choose
from ._hosts import on_first
from ._log import FunctionLogger, Log, Logger
from ._log_parquet import ParquetLogger
from ._log_tensorboard import TensorBoardLogger
from ._log_terminal import TerminalLogger
from ._log_wandb import WandbLogger
from ._look_up import is_place, look_up

Sink = str | Callable[[list[dict[str, Any]]], Any] | Logger
"""A name or several with commas between, a function of the rows of one point, or a back end of one's own."""


@dataclasses.dataclass(frozen=True)
class _BackEnd:
    """What there is under a name.

    Attributes:
        kind: Its class.
        package: What must be installed; empty for nothing.
        extra: By which extra of Bellmax.
    """

    kind: Callable[[], Logger]
    package: str = ""
    extra: str = ""


_BACK_ENDS = {
    "terminal": _BackEnd(TerminalLogger),
    "parquet": _BackEnd(ParquetLogger, "pyarrow", "log"),
    "tensorboard": _BackEnd(TensorBoardLogger, "tensorboardX", "log"),
    "wandb": _BackEnd(WandbLogger, "wandb", "wandb"),
}


def sinks_of(log: Sink | Sequence[Sink]) -> tuple[str, list[Any]]:
    """Divides what a user gives into names, which a run folder keeps, and what it cannot keep."""
    given = [log] if isinstance(log, str) or callable(log) or isinstance(log, Logger) else list(log)
    names = [name.strip() for each in given if isinstance(each, str) for name in each.split(",")]
    return ",".join(dict.fromkeys(filter(None, names))), [each for each in given if not isinstance(each, str)]


def make_log(names: str, own: Sequence[Any]) -> Log:
    """Makes the back ends of a run; process 0 alone has some.

    Args:
        names: With commas between them.
        own: Functions and back ends of the user's.

    Raises:
        UsageError: If there is no such back end, its package is not installed, or it is none.
    """
    loggers: list[tuple[str, Logger]] = []

    def make():
        loggers.extend((name, _named(name)) for name in filter(None, names.split(",")))
        loggers.extend((_name_of(each), _as_logger(_name_of(each), each)) for each in own)

    on_first(make)
    return Log(loggers)


def _named(name: str) -> Logger:
    if is_place(name):
        return _as_logger(name, look_up(name))
    back_end = _BACK_ENDS[choose("log back end", name, [*_BACK_ENDS, "module:function"])]
    if back_end.package:
        try:
            importlib.import_module(back_end.package)
        except Exception as error:
            raise UsageError(
                f"the log back end {name} needs {back_end.package}, which cannot be imported ({error}): "
                f"pip install 'bellmax[{back_end.extra}]'"
            ) from error
    return back_end.kind()


def _as_logger(name: str, found: Any) -> Logger:
    """Makes a back end out of one, of its class, or of a function."""
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise UsageError(f"{name} cannot be called without arguments: {error!r}") from error
    if isinstance(found, Logger):
        return found
    if not callable(found):
        raise UsageError(
            f"{name} is of type {type(found).__name__}; a log back end is a function of a list of rows, or has start, "
            "write and close"
        )
    return FunctionLogger(found)


def _name_of(own: Any) -> str:
    return getattr(own, "__qualname__", type(own).__name__)
