"""The loop on the host around compiled training."""

import contextlib
import dataclasses
import time

import jax
import numpy as np

from ._checkpoint import Progress
from ._checkpoints import Checkpoints
from ._drivers import AbstractDriver
from ._folder import RunFolder
from ._hosts import together, watched
from ._log import Log
from ._progress import Report
from ._rows import rows_of
from ._run_folders import RunFolders
from ._settings import Settings
from ._signals import Interruption

_ROWS = 100
"""Rows of metrics in a run, for each seed."""
_SECONDS_BETWEEN_SIGNALS = 0.5
"""How long the compiled program runs before the host looks at signals and the screen."""
_SECONDS_BETWEEN_STATUS = 5.0
"""How old `status.json` of a run that goes on may be, where rows come faster."""


class Drive:
    """Takes a driver to its end row by row, or as far as a signal lets it.

    Attributes:
        progress: How far it has come.
        stopped_by: The signal that stopped it, the same in all processes; None if none did.
    """

    def __init__(
        self,
        driver: AbstractDriver,
        folder: RunFolder | RunFolders,
        calls: int,
        steps_per_call: int,
        settings: Settings,
        interruption: Interruption,
        checkpoints: Checkpoints | None = None,
        progress: Progress = Progress(),  # noqa: B008
        log: Log = Log([]),  # noqa: B008
    ):
        """Prepares to go on from somewhere.

        Args:
            driver: What trains; where `progress` says.
            folder: Gets rows of metrics and the status.
            calls: Trainer steps of the whole run.
            steps_per_call: Environment steps of each, of one seed.
            settings: How the run is carried out.
            interruption: What may ask this process to stop.
            checkpoints: Where to save, None for nowhere.
            progress: How far the driver has come.
            log: Gets the rows too.
        """
        self._driver, self._folder, self._calls, self._steps_per_call = driver, folder, calls, steps_per_call
        self._settings, self._interruption, self._checkpoints = settings, interruption, checkpoints
        self._log, self._size, self._save_is_due, self._next_status = log, 1, False, 0.0
        self.progress, self.stopped_by = progress, None

    def to_the_end(self, report: Report) -> int:
        """Goes on until the end or a signal; returns the environment steps of each seed.

        A checkpoint within a row has the metrics of the row so far, one at its end has the row.
        """
        report(self.progress.steps, None)
        start = time.perf_counter() - self.progress.seconds
        for row_end in np.linspace(0, self._calls, min(_ROWS, self._calls) + 1).astype(int)[1:].tolist():
            before = self.progress.calls
            self._look(self._size, self._save_is_due)
            while self.progress.calls < row_end and self.stopped_by is None:
                self._advance(row_end - self.progress.calls)
                self.progress = dataclasses.replace(self.progress, seconds=time.perf_counter() - start)
                report(self.progress.steps, None)
                if self.progress.calls < row_end and self.stopped_by is None:
                    self._save()
            interrupted = self.progress.calls < row_end
            if interrupted:  # what has come of the row belongs to the checkpoint, so it is saved before it is read
                self._save()
            if self.progress.calls > before:
                self._append_rows()
                report(self.progress.steps, self.progress.episode_return)
                if not interrupted:
                    self._save()
            if interrupted:
                break
        if self.stopped_by is None:
            self._look()
            if self.stopped_by is not None:
                self._save()
        return self.progress.steps

    def _look(self, next_size: int = 1, due: bool = False) -> None:
        """Looks whether to stop and to save, the same in all processes."""
        # Any of them may be asked to stop; clocks differ, so the first one's counts.
        with self._watched():
            wishes = together(self._interruption.signal or 0, next_size, due).tolist()
        self.stopped_by = max(signal for signal, _, _ in wishes) or None
        self._size, self._save_is_due = wishes[0][1], bool(wishes[0][2])

    def _advance(self, most: int) -> None:
        """Takes some calls, as many as last until signals should be looked at."""
        size, begin = min(self._size, most), time.perf_counter()
        with self._watched():
            self._driver.advance(size)
        next_size = max(1, int(size * min(2.0, _SECONDS_BETWEEN_SIGNALS / (time.perf_counter() - begin))))
        due = self._checkpoints is not None and self._checkpoints.due(self._settings.checkpoint_every)
        self._look(next_size, due)
        calls = self.progress.calls + size
        self.progress = dataclasses.replace(self.progress, calls=calls, steps=calls * self._steps_per_call)

    def _watched(self) -> contextlib.AbstractContextManager[None]:
        """Ends this process if it waits too long for the others."""
        return watched(self._settings.step_timeout if jax.process_count() > 1 else 0)

    def _append_rows(self) -> None:
        """Adds a row of metrics a seed."""
        metrics = self._driver.take_metrics()
        rows = rows_of(metrics, self.progress.steps, self.progress.seconds, self._driver.seeds)
        self._folder.append_metrics(rows)
        self._log.write(rows)
        if time.monotonic() >= self._next_status:
            self._next_status = time.monotonic() + _SECONDS_BETWEEN_STATUS
            with contextlib.suppress(OSError):  # a full disk, of which the rows warn; how the run ended is still said
                write_status(self._folder, "running", self.progress.steps, self._calls * self._steps_per_call)
        returns = [row["episode_return"] for row in rows if row["episode_return"] is not None]
        if returns:
            self.progress = dataclasses.replace(self.progress, episode_return=sum(returns) / len(returns))

    def _save(self) -> None:
        """Saves a checkpoint if it is time, or if the run is asked to stop."""
        if self._checkpoints is not None and (self.stopped_by is not None or self._save_is_due):
            assert isinstance(self._folder, RunFolder)
            self._checkpoints.save(self._driver.saved, self.progress, self._folder.metrics_text())


def write_status(folder: RunFolder | RunFolders, state: str, steps: int, total: int) -> None:
    """Says in `status.json` how far a run is."""
    folder.write_json("status.json", {"state": state, "steps": steps, "of": total})
