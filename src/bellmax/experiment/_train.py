"""A training run, from its configuration to a folder."""

import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._core import Mean
from ..envs import HostEnvironmentError
from ..training import Trainer, TrainState, local_copy
from ._checkpoint import Checkpoint, Progress, versions
from ._configuration import Configuration, UsageError
from ._drivers import AbstractDriver, drivers_of, join_states
from ._evaluation import evaluate_agent
from ._folder import RunFolder, seed_keys
from ._host_loop import opened
from ._host_trainer import HostTrainer
from ._hosts import agree, code, is_first, on_first, together, watched
from ._outcome import Outcome
from ._placement import spread_over_devices
from ._plot import plot_curve
from ._progress import Report, show_progress
from ._settings import Settings
from ._signals import Interruption, interruptible

_ROWS = 100
"""Rows of metrics in a run, for each seed."""
_SECONDS_BETWEEN_SIGNALS = 0.5
"""How long the compiled program runs before the host looks at signals and the screen."""


def train_run(
    configuration: Configuration,
    out: str | Path,
    *,
    replace: bool = False,
    **settings: Any,
) -> Outcome:
    """Trains, evaluates and leaves a run folder.

    Ctrl-C and SIGTERM let the present piece of work end, save a checkpoint and the agent as it is and say so in
    `status.json`; a second Ctrl-C ends at once, without saving.

    Args:
        configuration: What defines the run.
        out: The run folder.
        replace: Whether a run folder that exists may be deleted.
        **settings: Fields of `Settings`: episodes, workers, checkpoints, devices.

    Returns:
        How the run ended.

    Raises:
        UsageError: If the configuration does not fit, or the folder exists.
        HostEnvironmentError: If an environment outside JAX fails; the agent is saved as of the last update.
    """
    how = Settings(**settings)
    trainer = configuration.trainer(how.workers)
    if isinstance(trainer, Trainer):
        spread_over_devices(trainer, configuration.seeds, how)  # what does not fit shows before the folder is made
    elif jax.process_count() > 1:
        raise UsageError(
            f"{configuration.environment} is outside JAX, which several processes cannot train on together"
        )
    agree(facts(configuration, how))
    folder = RunFolder(Path(out))
    on_first(lambda: folder.create(configuration, how, replace=replace))
    with folder.locked():
        return Run(trainer, configuration, folder, how).to_its_end()


def facts(configuration: Configuration, settings: Settings) -> dict[str, str]:
    """Returns what all processes of a run must have in common."""
    return {
        "configuration": json.dumps(configuration.as_json(), sort_keys=True),
        "setting": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "version of a package": json.dumps(versions(), sort_keys=True),
        "source of Bellmax": code(),
        "kind of device": jax.devices()[0].device_kind,
    }


class Run:
    """One run in one process.

    Attributes:
        checkpoint: Where to go on; None to begin.
        progress: How far the present driver has come.
    """

    def __init__(
        self,
        trainer: Trainer | HostTrainer,
        configuration: Configuration,
        folder: RunFolder,
        settings: Settings,
        checkpoint: Checkpoint | None = None,
    ):
        self.trainer, self.configuration, self.folder, self.settings = trainer, configuration, folder, settings
        self.checkpoint, self.checkpoints = checkpoint, folder.checkpoints(configuration, settings.keep)
        self.calls = configuration.steps // trainer.steps_per_call
        self.total = self.calls * trainer.steps_per_call
        self.interruption, self.progress = Interruption(), Progress()
        self._size, self._save_is_due = 1, False
        self._stopped_by: int | None = None
        self._makes_checkpoints = settings.checkpoint_every > 0 and isinstance(trainer, Trainer)

    def to_its_end(self) -> Outcome:
        """Trains and evaluates, and says in the folder how it ended."""
        folder = self.folder
        self._write_status("running", self.checkpoint.progress.steps if self.checkpoint else 0)
        try:
            with contextlib.ExitStack() as stack:
                self.interruption = stack.enter_context(interruptible())
                stack.enter_context(self.checkpoints)
                if isinstance(self.trainer, HostTrainer):
                    self.trainer = stack.enter_context(opened(self.trainer))
                state, done = self._train()
                folder.save_agent(state)
                rows = folder.read_metrics()
                if rows and is_first():
                    title = f"{self.configuration.algorithm} on {self.configuration.environment}"
                    plot_curve(rows, title, folder.path / "curve.png")
                saved = self.checkpoints.wait() if self._makes_checkpoints else None
                if self._stopped_by is not None:
                    self._write_status("interrupted", done)
                    return Outcome(None, self._stopped_by, saved)
                evaluation = evaluate_agent(
                    self.trainer,
                    local_copy(state.shared.algorithm),
                    steps=done,
                    key=self.configuration.key,
                    episodes=self.settings.episodes,
                )
                folder.write_json("evaluation.json", dataclasses.asdict(evaluation))
                self._write_status("finished", done)
                return Outcome(evaluation)
        except BaseException as error:
            ended = {"state": "interrupted"} if isinstance(error, KeyboardInterrupt) else {"state": "failed"}
            folder.write_json("status.json", folder.read_status() | ended | {"error": repr(error)})
            raise

    def _train(self) -> tuple[TrainState, int]:
        """Trains every seed; returns their state and the environment steps of the last that ran."""
        keys, states, steps = seed_keys(self.configuration), [], 0
        at_once = self.configuration.seeds if isinstance(self.trainer, Trainer) else 1
        with show_progress(self.total * self.configuration.seeds // at_once, at_once) as report:
            try:
                for place, driver in enumerate(drivers_of(self.trainer, keys, self.settings)):
                    with driver:

                        def report_here(steps, episode_return, before=place * self.total):
                            report(before + steps, episode_return)

                        try:
                            steps = self._drive(driver, report_here)
                        except HostEnvironmentError:  # what was learned before it is whole
                            states.append(driver.state)
                            raise
                        states.append(driver.state)
                    if self._stopped_by is not None:
                        break
            except HostEnvironmentError:
                self.folder.save_agent(join_states(self.trainer, states, keys))
                raise
        return join_states(self.trainer, states, keys), steps

    def _drive(self, driver: AbstractDriver, report: Report) -> int:
        """Runs a driver row by row, until the end or a signal; returns the environment steps of each of its seeds.

        A checkpoint within a row has the metrics of the row so far, one at its end has the row.
        """
        self._resume(driver)
        report(self.progress.steps, None)
        start = time.perf_counter() - self.progress.seconds
        for row_end in np.linspace(0, self.calls, min(_ROWS, self.calls) + 1).astype(int)[1:].tolist():
            before = self.progress.calls
            while self.progress.calls < row_end and self._stopped_by is None:
                self._advance(driver, row_end - self.progress.calls)
                self.progress = dataclasses.replace(self.progress, seconds=time.perf_counter() - start)
                report(self.progress.steps, None)
                if self.progress.calls < row_end and self._stopped_by is None:
                    self._save(driver)
            interrupted = self.progress.calls < row_end
            if interrupted:  # what has come of the row belongs to the checkpoint, so it is saved before it is read
                self._save(driver)
            if self.progress.calls > before:
                self._append_rows(driver)
                report(self.progress.steps, self.progress.episode_return)
                if not interrupted:
                    self._save(driver)
            if interrupted:
                break
        return self.progress.steps

    def _resume(self, driver: AbstractDriver) -> None:
        """Takes a driver to the checkpoint, and the rows of metrics back to it."""
        self.progress, self._size = Progress(), 1
        if self.checkpoint is not None:
            driver.restore(self.checkpoint.load)
            self.folder.write_metrics(self.checkpoint.rows)
            self.checkpoints.go_on_from(self.checkpoint)
            self.progress = self.checkpoint.progress

    def _advance(self, driver: AbstractDriver, most: int) -> None:
        """Takes some calls, as many as last until signals should be looked at."""
        size, begin = min(self._size, most), time.perf_counter()
        with watched(self.settings.step_timeout if jax.process_count() > 1 else 0):
            driver.advance(size)
            next_size = max(1, int(size * min(2.0, _SECONDS_BETWEEN_SIGNALS / (time.perf_counter() - begin))))
            due = self._makes_checkpoints and self.checkpoints.due(self.settings.checkpoint_every)
            # Any process may be asked to stop; clocks differ, so the first one's counts.
            wishes = together(self.interruption.signal or 0, next_size, due)
        self._stopped_by = int(wishes[:, 0].max()) or None
        self._size, self._save_is_due = int(wishes[0, 1]), bool(wishes[0, 2])
        calls = self.progress.calls + size
        self.progress = dataclasses.replace(self.progress, calls=calls, steps=calls * self.trainer.steps_per_call)

    def _append_rows(self, driver: AbstractDriver) -> None:
        """Adds a row of metrics a seed."""
        rows = _rows(driver.take_metrics(), self.progress.steps, self.progress.seconds, driver.seeds)
        self.folder.append_metrics(rows)
        self._write_status("running", self.progress.steps)
        returns = [row["episode_return"] for row in rows if np.isfinite(row["episode_return"])]
        if returns:
            self.progress = dataclasses.replace(self.progress, episode_return=float(np.mean(returns)))

    def _save(self, driver: AbstractDriver) -> None:
        """Saves a checkpoint if it is time, or if the run is asked to stop."""
        if self._makes_checkpoints and (self._stopped_by is not None or self._save_is_due):
            self.checkpoints.save(driver.saved, self.progress, self.folder.metrics_text())

    def _write_status(self, state: str, steps: int) -> None:
        self.folder.write_json("status.json", {"state": state, "steps": steps, "of": self.total})


def _rows(metrics: dict[str, Mean], steps: int, seconds: float, seeds: list[int]) -> list[dict[str, float]]:
    """Makes a row a seed; a metric without weight is NaN."""
    values = {name: np.asarray(metric.value, np.float64) for name, metric in metrics.items()}
    episodes = np.asarray(metrics["episode_return"].weight)
    return [
        {"step": steps, "seed": seed, "seconds": round(seconds, 3), "episodes": int(episodes[place])}
        | {name: float(value[place]) for name, value in values.items()}
        for place, seed in enumerate(seeds)
    ]
