"""A training run, from its configuration to a folder."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from ..envs import HostEnvironmentError
from ..training import Trainer, TrainState, local_copy
from ._checkpoint import Checkpoint, Progress, versions
from ._configuration import Configuration, UsageError
from ._drive import Drive, write_status
from ._drivers import AbstractDriver, drivers_of, join_states
from ._evaluation import evaluate_agent
from ._folder import RunFolder, seed_keys
from ._host_loop import opened
from ._host_trainer import HostTrainer
from ._hosts import agree, code, is_first, together
from ._log import Log, LoggedRun
from ._log_names import Sink, make_log, sinks_of
from ._outcome import Outcome
from ._placement import spread_over_devices
from ._plot import plot_curve
from ._progress import show_progress
from ._settings import Settings
from ._signals import Interruption, interruptible


def train_run(
    configuration: Configuration,
    out: str | Path,
    *,
    replace: bool = False,
    log: Sink | Sequence[Sink] = "",
    **settings: Any,
) -> Outcome:
    """Trains, evaluates and leaves a run folder.

    Ctrl-C and SIGTERM let the present piece of work end, save a checkpoint and the agent as it is and say so in
    `status.json`; a second Ctrl-C ends at once, without saving.

    Args:
        configuration: What defines the run.
        out: The run folder.
        replace: Whether a run folder that exists may be deleted.
        log: Where the rows of `metrics.jsonl` go too: names such as `"tensorboard,parquet"`, functions of the rows of
            one point, `Logger`s, or a list of these.
        **settings: Fields of `Settings`: episodes, workers, checkpoints, devices.

    Returns:
        How the run ended.

    Raises:
        UsageError: If the configuration does not fit, the folder exists, or a log back end is not installed.
        HostEnvironmentError: If an environment outside JAX fails; the agent is saved as of the last update.
    """
    names, own = sinks_of(log)
    how = Settings(**settings, log=names)
    folder = RunFolder(Path(out))
    run = Run(_trainer(configuration, how), configuration, folder, how, log=make_log(names, own))
    agree_on(configuration, how)
    with folder.claimed(lambda: folder.create(configuration, how, replace=replace)):
        return run.to_its_end()


def check_run(configuration: Configuration, **settings: Any) -> None:
    """Refuses what `train_run` would refuse, but for its folder, and does nothing."""
    how = Settings(**settings)
    make_log(how.log, [])
    trainer = _trainer(configuration, how)
    if isinstance(trainer, Trainer):
        spread_over_devices(trainer, configuration.seeds, how)


def _trainer(configuration: Configuration, settings: Settings) -> Trainer | HostTrainer:
    trainer = configuration.trainer(settings.workers)
    if isinstance(trainer, HostTrainer) and jax.process_count() > 1:
        raise UsageError(
            f"{configuration.environment} is outside JAX, which several processes cannot train on together"
        )
    return trainer


def agree_on(configuration: Configuration, settings: Settings, checkpoint: str = "") -> None:
    """Refuses to go on if several processes have not all that they must have in common."""
    if jax.process_count() == 1:
        return
    facts = {
        "configuration": json.dumps(configuration.as_json(), sort_keys=True),
        "setting": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "version of a package": json.dumps(versions(), sort_keys=True),
        "source of Bellmax": code(),
        "kind of device": jax.devices()[0].device_kind,
        "checkpoint": checkpoint,
    }
    agree(facts)


class Run:
    """One run in one process.

    Attributes:
        checkpoint: Where to go on; None to begin.
    """

    def __init__(
        self,
        trainer: Trainer | HostTrainer,
        configuration: Configuration,
        folder: RunFolder,
        settings: Settings,
        checkpoint: Checkpoint | None = None,
        *,
        log: Log,
    ):
        self.trainer, self.configuration, self.folder, self.settings = trainer, configuration, folder, settings
        self.checkpoint, self.checkpoints = checkpoint, folder.checkpoints(configuration, settings.keep)
        self.calls = configuration.steps // trainer.steps_per_call
        self.total = self.calls * trainer.steps_per_call
        self.log, self.interruption = log, Interruption()
        self._stopped_by: int | None = None
        self._makes_checkpoints = settings.checkpoint_every > 0 and isinstance(trainer, Trainer)
        self._parallel = None
        if isinstance(trainer, Trainer):
            self._parallel = spread_over_devices(trainer, configuration.seeds, settings)

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
                stack.enter_context(self.log.opened(self._logged))
                state, done = self._train()
                save_results(folder, self.configuration, state)
                saved = self.checkpoints.wait() if self._makes_checkpoints else None
                together(0)  # while one still writes, the others must not go
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
        source = self.trainer if isinstance(self.trainer, HostTrainer) else self._parallel
        assert source is not None
        with show_progress(self.total * self.configuration.seeds // at_once, at_once) as report:
            try:
                for place, driver in enumerate(drivers_of(source, keys, self.settings)):
                    with driver:

                        def report_here(steps, episode_return, before=place * self.total):
                            report(before + steps, episode_return)

                        try:
                            drive = self._begun(driver)
                            steps = drive.to_the_end(report_here)
                        except HostEnvironmentError:  # what was learned before it is whole
                            states.append(driver.state)
                            raise
                        states.append(driver.state)
                        self._stopped_by = drive.stopped_by
                    if self._stopped_by is not None:
                        break
            except HostEnvironmentError:
                self.folder.save_agent(join_states(self.trainer, states, keys))
                raise
        return join_states(self.trainer, states, keys), steps

    def _begun(self, driver: AbstractDriver) -> Drive:
        """Takes a driver, and the rows of metrics, to where the run goes on."""
        progress = Progress()
        if self.checkpoint is not None:
            driver.restore(self.checkpoint.load)
            self.folder.forget_agent()
            self.folder.write_metrics(self.checkpoint.rows)
            self.checkpoints.go_on_from(self.checkpoint)
            progress = self.checkpoint.progress
        checkpoints = self.checkpoints if self._makes_checkpoints else None
        steps_per_call = self.trainer.steps_per_call
        return Drive(
            driver,
            self.folder,
            self.calls,
            steps_per_call,
            self.settings,
            self.interruption,
            checkpoints,
            progress,
            self.log,
        )

    @property
    def _logged(self) -> LoggedRun:
        """What back ends are told of the run."""
        after = None
        if self.checkpoint is not None:
            rows = self.checkpoint.rows.splitlines()
            after = json.loads(rows[-1])["step"] if rows else 0
        return LoggedRun(self.configuration, self.folder.path, after)

    def _write_status(self, state: str, steps: int) -> None:
        write_status(self.folder, state, steps, self.total)


def save_results(folder: RunFolder, configuration: Configuration, state: TrainState) -> None:
    """Saves the agent and draws the learning curve."""
    folder.end_metrics()
    folder.save_agent(state)
    rows = folder.read_metrics()
    if rows and is_first():
        plot_curve(rows, f"{configuration.algorithm} on {configuration.environment}", folder.path / "curve.png")
