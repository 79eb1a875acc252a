"""Where rows of metrics go beside the run folder: back ends behind one protocol."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from ._configuration import Configuration
from ._metrics_file import Row
from ._rows import summary_of


@dataclasses.dataclass(frozen=True)
class LoggedRun:
    """What a back end is told of a run before its first row.

    Attributes:
        configuration: What defines the run.
        folder: The run folder; what a back end writes to disk belongs there.
        after: None for a run that begins. For one that goes on, the environment steps of the last row that counts:
            later ones, which a back end may have from before, come again.
    """

    configuration: Configuration
    folder: Path
    after: int | None = None


@runtime_checkable
class Logger(Protocol):
    """A back end. What it raises is shown as a warning, and it is told nothing more; the run goes on."""

    def start(self, run: LoggedRun) -> None:
        """Prepares, before training; in the first of several processes alone."""

    def write(self, rows: list[Row]) -> None:
        """Takes the rows of one point: one a seed, and where all seeds train together their summary, the last."""

    def close(self) -> None:
        """Ends, when the run does."""


@final
class FunctionLogger:
    """A user's function of the rows of one point."""

    def __init__(self, function: Callable[[list[Row]], Any]):
        self._function = function

    def start(self, run: LoggedRun) -> None:
        """Does nothing."""

    def write(self, rows: list[Row]) -> None:
        """Calls the function."""
        self._function(rows)

    def close(self) -> None:
        """Does nothing."""


class Log:
    """Hands rows to the back ends of a run; one that fails is switched off."""

    def __init__(self, loggers: list[tuple[str, Logger]]):
        """Takes back ends, each with the name by which it is called when it fails."""
        self._loggers, self._seeds = loggers, 0

    @contextlib.contextmanager
    def opened(self, run: LoggedRun) -> Iterator[None]:
        """Starts the back ends, and ends them however the run ends."""
        self._seeds = run.configuration.seeds
        self._tell(lambda logger: logger.start(run), "when it started; it gets no row")
        try:
            yield
        finally:
            self._tell(
                lambda logger: logger.close(), "when it ended; what it had not written yet is lost", closing=True
            )

    def write(self, rows: list[Row]) -> None:
        """Hands on the rows of one point, and their summary if they are those of all seeds."""
        if not self._loggers:
            return
        rows = [*rows, summary_of(rows)] if len(rows) == self._seeds else rows
        lost = f"at step {rows[0]['step']}; it gets no more rows"
        self._tell(lambda logger: logger.write([dict(row) for row in rows]), lost)

    def _tell(self, action: Callable[[Logger], None], lost: str, *, closing: bool = False) -> None:
        for name, logger in tuple(self._loggers):
            try:
                action(logger)
            except Exception as error:  # of the disk, of the network, of the user
                self._loggers.remove((name, logger))
                with contextlib.suppress(Exception):
                    _ = closing or logger.close()
                warnings.warn(
                    f"the log back end {name} failed {lost}, and metrics.jsonl has all: {error!r}; the run goes on",
                    stacklevel=4,
                )
