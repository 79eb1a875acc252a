"""Training and evaluating what one program of a sweep holds."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np

from ..training import Local, Shared, Trainer, TrainState, local_copy
from ._drive import Drive, write_status
from ._drivers import Compiled
from ._evaluation import Evaluation, evaluation_keys, player, summary
from ._folder import RunFolder
from ._host_trainer import OUTSIDE
from ._placement import spread_over_devices
from ._progress import show_progress
from ._run_folders import RunFolders
from ._settings import Settings
from ._signals import Interruption
from ._sweep_programs import Passes, Program
from ._train import save_results, train_run

Done = Callable[[int, Evaluation], None]
"""Takes the place of a configuration and its final evaluation."""


class SweepInterrupted(KeyboardInterrupt):
    """A signal ended a sweep; what was finished is kept, and the same sweep goes on from there.

    Attributes:
        signal: Its number.
    """

    def __init__(self, signal: int):
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal


def train_outside(
    program: Program,
    folders: Mapping[int, RunFolder],
    *,
    settings: Settings,
    interruption: Interruption,
    done: Done,
) -> None:
    """Trains configurations whose environment is outside JAX, one after another."""
    for place, configuration in zip(program.places, program.configurations, strict=True):
        _stop(interruption)
        outcome = train_run(configuration, folders[place].path, replace=True, **dataclasses.asdict(settings))
        if outcome.evaluation is None:
            assert outcome.interrupted_by is not None
            raise SweepInterrupted(outcome.interrupted_by)
        done(place, outcome.evaluation)


def train_program(
    program: Program,
    passes: Passes,
    folders: Mapping[int, RunFolder],
    *,
    settings: Settings,
    interruption: Interruption,
    done: Done,
) -> None:
    """Trains and evaluates the configurations of a program, pass by pass.

    Args:
        program: What to train.
        passes: How much of it at once.
        folders: The run folder of each configuration of the sweep, by its place.
        settings: How the sweep is carried out.
        interruption: What may ask to stop.
        done: Is called for each configuration when its run folder is complete.

    Raises:
        SweepInterrupted: If `interruption` asks for it; the agents are saved as they are.
    """
    trainer, seeds = program.trainer, program.configurations[0].seeds
    assert isinstance(trainer, Trainer)
    calls = program.configurations[0].steps // trainer.steps_per_call
    driver = play = None
    for places in passes.places:
        _stop(interruption)
        keys, knobs = program.members(places, passes.members)
        if driver is None:
            driver = Compiled(spread_over_devices(trainer, len(keys), settings), keys, 0, knobs)
        driver.begin_with(keys, knobs)
        runs = RunFolders([folders[program.places[place]] for place in places], seeds)
        for place, run in zip(places, runs.folders, strict=True):
            run.create(program.configurations[place], settings, replace=True)
        with _told(runs, calls * trainer.steps_per_call):
            shared, steps = _driven(driver, runs, calls, trainer.steps_per_call, settings, interruption)
            for place, run, part in zip(places, runs.folders, _parts(shared, seeds), strict=False):
                save_results(run, program.configurations[place], TrainState(part, Local(OUTSIDE)))
            if steps < calls * trainer.steps_per_call:
                _stop(interruption)
            key = program.configurations[0].key
            play = play or player(trainer, shared.algorithm, episodes=settings.episodes)
            of_members = evaluation_keys(key, seeds)[np.arange(len(keys)) % seeds]
            played = play(shared.algorithm, of_members, np.float32(steps), knobs)
            for place, run, part in zip(places, runs.folders, _parts(played, seeds), strict=False):
                evaluation = summary(part, key=key)
                run.write_json("evaluation.json", dataclasses.asdict(evaluation))
                write_status(run, "finished", steps, steps)
                done(program.places[place], evaluation)


def _driven(
    driver: Compiled,
    runs: RunFolders,
    calls: int,
    steps_per_call: int,
    settings: Settings,
    interruption: Interruption,
) -> tuple[Shared, int]:
    """Takes a driver to the end or to an interruption; returns its shared state and the environment steps."""
    with show_progress(calls * steps_per_call, len(driver.seeds)) as report, driver:
        steps = Drive(driver, runs, calls, steps_per_call, settings, interruption).to_the_end(report)
        return local_copy(driver.state.shared), steps


def _parts(tree, seeds: int) -> Iterator:
    """Yields what belongs to each configuration of a tree whose arrays have a leading axis of members."""
    for start in range(0, len(jax.tree.leaves(tree)[0]), seeds):
        yield jax.tree.map(lambda leaf, start=start: leaf[start : start + seeds], tree)


@contextlib.contextmanager
def _told(runs: RunFolders, total: int) -> Iterator[None]:
    """Says in each folder that its run is going on, and how it ended if that was not well."""
    write_status(runs, "running", 0, total)
    try:
        yield
    except BaseException as error:
        ended = {"state": "interrupted"} if isinstance(error, KeyboardInterrupt) else {"state": "failed"}
        for run in runs.folders:
            status = run.read_status()
            if status["state"] == "running":
                run.write_json("status.json", status | ended | {"error": repr(error)})
        raise


def _stop(interruption: Interruption) -> None:
    if interruption.signal is not None:
        raise SweepInterrupted(interruption.signal)
