"""A training run, from its configuration to a folder."""

import contextlib
import dataclasses
import time
from pathlib import Path

import numpy as np

from .._core import Mean
from ..envs import HostEnvironmentError
from ..training import Trainer, TrainState
from ._configuration import Configuration
from ._drivers import AbstractDriver, drivers_of, join_states
from ._evaluation import Evaluation, evaluate_agent
from ._folder import RunFolder, seed_keys
from ._host_loop import opened
from ._host_trainer import HostTrainer
from ._placement import Placement
from ._plot import plot_curve
from ._progress import Report, show_progress
from ._run_folders import RunFolders
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
    episodes: int = 128,
    workers: int = 0,
    placement: Placement | None = None,
) -> tuple[Evaluation | None, int | None]:
    """Trains, evaluates and leaves a run folder.

    Ctrl-C and SIGTERM let the present piece of work end, save the agent as it is and say so in `status.json`; a second
    Ctrl-C ends at once, without saving.

    Args:
        configuration: What defines the run.
        out: The run folder.
        replace: Whether a run folder that exists may be deleted.
        episodes: Episodes of each seed in the final evaluation.
        workers: Processes that step environments outside JAX; the numbers do not depend on it.
        placement: The devices; environments outside JAX take one, whatever it says.

    Returns:
        The final evaluation, or None if the run was interrupted, and the number of the signal that did.

    Raises:
        UsageError: If the configuration does not fit, or the folder exists.
        HostEnvironmentError: If an environment outside JAX fails; the agent is saved as of the last update.
    """
    trainer, placement = configuration.trainer(workers), placement or Placement()
    if isinstance(trainer, Trainer):
        placement.parallel(trainer, configuration.seeds)  # what does not fit shows before the folder is made
    folder = RunFolder(Path(out))
    folder.create(configuration, replace=replace)
    calls = configuration.steps // trainer.steps_per_call
    total = calls * trainer.steps_per_call
    write_status(folder, "running", 0, total)
    try:
        with contextlib.ExitStack() as lanes, interruptible() as interruption:
            if isinstance(trainer, HostTrainer):
                trainer = lanes.enter_context(opened(trainer))
            state, done = _train(trainer, configuration, placement, folder, calls, interruption)
            save_results(folder, configuration, state)
            if interruption.signal is not None:
                write_status(folder, "interrupted", done, total)
                return None, interruption.signal
            evaluation = evaluate_agent(
                trainer, state.shared.algorithm, steps=done, key=configuration.key, episodes=episodes
            )
            folder.write_json("evaluation.json", dataclasses.asdict(evaluation))
            write_status(folder, "finished", done, total)
            return evaluation, None
    except BaseException as error:
        ended = {"state": "interrupted"} if isinstance(error, KeyboardInterrupt) else {"state": "failed"}
        folder.write_json("status.json", folder.read_status() | ended | {"error": repr(error)})
        raise


def _train(
    trainer: Trainer | HostTrainer,
    configuration: Configuration,
    placement: Placement,
    folder: RunFolder,
    calls: int,
    interruption: Interruption,
) -> tuple[TrainState, int]:
    """Trains every seed; returns their state and the environment steps of the last that ran."""
    keys, states, steps = seed_keys(configuration), [], 0
    at_once = configuration.seeds if isinstance(trainer, Trainer) else 1
    total = calls * trainer.steps_per_call
    with show_progress(total * configuration.seeds // at_once, at_once) as report:
        try:
            for place, driver in enumerate(drivers_of(trainer, keys, placement)):
                with driver:

                    def report_here(steps, episode_return, before=place * total):
                        report(before + steps, episode_return)

                    try:
                        steps = drive(driver, folder, calls, trainer.steps_per_call, interruption, report_here)
                    except HostEnvironmentError:  # what was learned before it is whole
                        states.append(driver.state)
                        raise
                    states.append(driver.state)
                if interruption.signal is not None:
                    break
        except HostEnvironmentError:
            folder.save_agent(join_states(trainer, states, keys))
            raise
    return join_states(trainer, states, keys), steps


def drive(
    driver: AbstractDriver,
    folder: RunFolder | RunFolders,
    calls: int,
    steps_per_call: int,
    interruption: Interruption,
    report: Report,
) -> int:
    """Runs a driver row by row; returns the environment steps of each of its seeds."""
    report(0, None)
    start = time.perf_counter()
    done, size = 0, 1
    for row_end in np.linspace(0, calls, min(_ROWS, calls) + 1).astype(int)[1:]:
        before = done
        while done < row_end and interruption.signal is None:
            size = min(size, int(row_end) - done)
            begin = time.perf_counter()
            driver.advance(size)
            done += size
            size = max(1, int(size * min(2.0, _SECONDS_BETWEEN_SIGNALS / (time.perf_counter() - begin))))
            report(done * steps_per_call, None)
        if done > before:
            steps = done * steps_per_call
            rows = _rows(driver.take_metrics(), steps, time.perf_counter() - start, driver.seeds)
            folder.append_metrics(rows)
            write_status(folder, "running", steps, calls * steps_per_call)
            returns = [row["episode_return"] for row in rows if np.isfinite(row["episode_return"])]
            report(steps, float(np.mean(returns)) if returns else None)
    return done * steps_per_call


def _rows(metrics: dict[str, Mean], steps: int, seconds: float, seeds: list[int]) -> list[dict[str, float]]:
    """Makes a row a seed; a metric without weight is NaN."""
    values = {name: np.asarray(metric.value, np.float64) for name, metric in metrics.items()}
    episodes = np.asarray(metrics["episode_return"].weight)
    return [
        {"step": steps, "seed": seed, "seconds": round(seconds, 3), "episodes": int(episodes[place])}
        | {name: float(value[place]) for name, value in values.items()}
        for place, seed in enumerate(seeds)
    ]


def save_results(folder: RunFolder, configuration: Configuration, state: TrainState) -> None:
    """Saves the agent and draws the learning curve."""
    folder.save_agent(state)
    rows = folder.read_metrics()
    if rows:
        plot_curve(rows, f"{configuration.algorithm} on {configuration.environment}", folder.path / "curve.png")


def write_status(folder: RunFolder | RunFolders, state: str, steps: int, total: int) -> None:
    """Says in `status.json` how far a run is."""
    folder.write_json("status.json", {"state": state, "steps": steps, "of": total})
