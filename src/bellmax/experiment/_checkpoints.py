"""The checkpoints of a run: saved beside it, looked for, deleted."""

import dataclasses
import os
import re
import shutil
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import jax

from ._arrays import save_arrays, structure_of
from ._checkpoint import ROWS, STATE, Checkpoint, Progress, versions
from ._configuration import UsageError
from ._hosts import together
from ._manifest import MANIFEST, read_manifest, verify, write_manifest

_DIGITS = 12


class Checkpoints:
    """The checkpoints of a run; a context manager, which ends when no save is under way.

    A save returns as soon as the arrays are copied, and is written by threads. It counts once its manifest is there,
    written last; only then are older checkpoints deleted. Where a save fails, that is said once and the run goes on.

    Several processes save and load together; process 0 alone writes manifests and deletes.
    """

    def __init__(self, path: Path, configuration: str, *, keep: int = 2):
        """Saves and looks for checkpoints in a folder.

        Args:
            path: The folder; it need not exist.
            configuration: The hash of the run's configuration.
            keep: How many of the newest to keep. The one with the best episode return is kept too.
        """
        self.path, self._configuration, self._keep = path, configuration, keep
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._newest: int | None = None
        self._warned, self._began = False, time.monotonic()

    def __enter__(self) -> "Checkpoints":
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        if kind is not KeyboardInterrupt:  # who presses Ctrl-C twice does not want to wait
            self._join()

    def due(self, seconds: float) -> bool:
        """Tells whether the last save began so long ago, and is over."""
        if self._thread and self._thread.is_alive():
            return False
        return time.monotonic() - self._began >= seconds

    def save(self, tree: Any, progress: Progress, rows: str) -> None:
        """Begins to save, unless that was done at this step already.

        Args:
            tree: A tree of arrays, the same structure each time.
            progress: How far the run has come.
            rows: What `metrics.jsonl` holds.
        """
        self.wait()
        if self._newest == progress.steps:
            return
        self._began = time.monotonic()
        folder = self.path / f"{progress.steps:0{_DIGITS}}"
        content = {
            "versions": versions(),
            "configuration": self._configuration,
            "progress": dataclasses.asdict(progress),
            "rows": rows.count("\n"),
            "structure": structure_of(tree),
        }
        try:
            self._prepare(folder, rows)
            pending = save_arrays(folder / STATE, tree)
        except Exception as error:  # of the file system, of orbax, of the device
            self._fail(folder, error)
            self._warn()
            return
        self._thread = threading.Thread(target=self._finish, args=(pending, folder, content), daemon=True)
        self._thread.start()

    def wait(self) -> bool:
        """Waits for the save that is under way; returns whether the last one succeeded, in all processes the same."""
        self._join()
        if together(int(self._error is not None)).max() and self._error is None:
            self._error, self._newest = OSError("another process could not save its part"), None
        if self._error is not None:
            self._newest = None
        return self._error is None

    def _join(self) -> None:
        """Waits for this process' part of the save that is under way."""
        if self._thread:
            self._thread.join()
            self._thread = None
        self._warn()

    def _prepare(self, folder: Path, rows: str) -> None:
        """Makes the folder, and writes what is no array; where that fails, no process goes on to save."""
        error = None
        if jax.process_index() == 0:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / MANIFEST).unlink(missing_ok=True)
                (folder / ROWS).write_text(rows)
            except OSError as found:
                error = found
        if together(int(error is not None)).max():
            raise error or OSError("process 0 could not prepare it")

    def newest_good(self) -> tuple[Checkpoint, list[UsageError]]:
        """Returns the newest checkpoint that is whole, and what is wrong with each that is newer.

        Raises:
            UsageError: If there is none.
        """
        wrong = []
        for folder in self.whole():
            try:
                checkpoint = Checkpoint(folder, verify(folder))
                self._check_own(checkpoint)
            except UsageError as error:
                wrong.append(error)
            else:
                return checkpoint, wrong
        if wrong:
            raise UsageError(f"{wrong[0]}; no other checkpoint of the run is good")
        raise UsageError(f"{self.path.parent} holds no checkpoint: the run ended before its first, or made none")

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Puts aside what is newer, as `STEPS.damaged`, and counts from this one."""
        for folder in self.whole():
            if folder.name > checkpoint.path.name and jax.process_index() == 0:
                aside = folder.with_name(f"{folder.name}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                os.replace(folder, aside)
        self._newest = checkpoint.progress.steps

    def _finish(self, pending: Any, folder: Path, content: dict[str, Any]) -> None:
        """Waits for the arrays and makes the checkpoint count; runs in a thread."""
        try:
            pending.result()
            if jax.process_index() == 0:
                write_manifest(folder, content)
        except Exception as error:  # as above
            self._fail(folder, error)
            return
        self._error, self._newest = None, content["progress"]["steps"]
        if jax.process_index() == 0:
            self._prune()

    def _fail(self, folder: Path, error: Exception) -> None:
        self._error = error
        if jax.process_index() == 0:
            shutil.rmtree(folder, ignore_errors=True)

    def _warn(self) -> None:
        if self._error is None or self._warned:
            return
        self._warned = True
        reason = (str(self._error).strip() or repr(self._error)).splitlines()[0]
        warnings.warn(
            f"a checkpoint could not be saved in {self.path}: {reason}; the run goes on, and each later one is tried",
            stacklevel=3,
        )

    def _prune(self) -> None:
        """Deletes what is neither new nor best, and what older saves left unfinished."""
        counting = self.whole()
        returns = {folder: _return_of(folder) for folder in counting}
        best = max(counting, key=lambda folder: (returns[folder], folder.name))
        kept = {*counting[: self._keep], best}
        for folder in self._all():
            if folder not in kept and folder.name <= counting[0].name:
                (folder / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        """Lists the folders of checkpoints, the newest first."""
        if not self.path.is_dir():
            return []
        return sorted((path for path in self.path.iterdir() if re.fullmatch(r"[0-9]+", path.name)), reverse=True)

    def whole(self) -> list[Path]:
        """Lists the folders of those that count, the newest first; their files are not compared."""
        return [folder for folder in self._all() if os.path.lexists(folder / MANIFEST)]

    def _check_own(self, checkpoint: Checkpoint) -> None:
        """Refuses the checkpoint of another run."""
        try:
            configuration, steps = checkpoint.manifest["configuration"], checkpoint.progress.steps
            _ = checkpoint.manifest["versions"], checkpoint.manifest["structure"]
        except (KeyError, TypeError) as error:
            raise UsageError(f"{checkpoint.path / MANIFEST} is no manifest of a checkpoint: {error!r}") from None
        if configuration != self._configuration:
            raise UsageError(f"{checkpoint.path} is of a run with another configuration than config.json gives")
        if checkpoint.path.name != f"{steps:0{_DIGITS}}":
            raise UsageError(f"{checkpoint.path} was renamed: it was saved at {steps} steps")


def _return_of(folder: Path) -> float:
    """Returns the episode return of a checkpoint, minus infinity where none is known."""
    try:
        found = read_manifest(folder)["progress"]["episode_return"]
    except (UsageError, KeyError, TypeError):
        return -float("inf")
    return -float("inf") if found is None else found
