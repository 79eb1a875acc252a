"""A run that goes on."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._configuration import UsageError
from ._evaluation import read_evaluation
from ._folder import RunFolder
from ._host_trainer import HostTrainer
from ._log_names import Sink, make_log, sinks_of
from ._outcome import Outcome
from ._train import Run, agree_on


def resume_run(
    run: str | Path, *, last_good: bool = False, log: Sink | Sequence[Sink] | None = None, **devices: Any
) -> Outcome:
    """Goes on with a run from its last checkpoint, to the same end as if it had never stopped, bit for bit.

    Args:
        run: The run folder.
        last_good: Whether to go on from an older checkpoint where the newest is damaged.
        log: Where rows go too, as `train_run` takes it. None for the names that the run began with; functions and
            back ends of one's own are not kept and have to be given again.
        **devices: Fields of `Settings` that should be other than they were, devices above all: on another number of
            them the numbers are the same to rounding.

    Returns:
        How the run ended; that of a run that is finished is read.

    Raises:
        UsageError: If the folder is no run folder, another process is at it, or there is no checkpoint to go on from.
    """
    folder = RunFolder(Path(run))
    configuration, settings = folder.configuration(), folder.settings()
    names, own = sinks_of(settings.log if log is None else log)
    settings = dataclasses.replace(settings, **devices, log=names)
    with folder.claimed():
        finished = read_evaluation(folder) if folder.is_finished else None
        if finished is not None:
            return Outcome(finished, already=True)
        trainer = configuration.trainer(settings.workers)
        if isinstance(trainer, HostTrainer):
            raise UsageError(
                f"{configuration.environment} is outside JAX: the state of such an environment cannot be kept, so the "
                f"run has no checkpoint; train it anew with --replace"
            )
        checkpoints = folder.checkpoints(configuration, settings.keep)
        checkpoint, wrong = checkpoints.newest_good()
        if wrong and not last_good:
            raise UsageError(
                f"{wrong[0]}; the last good checkpoint is {checkpoint.path}: --last-good goes on from there"
            )
        going_on = Run(trainer, configuration, folder, settings, checkpoint, log=make_log(names, own))
        agree_on(configuration, settings, checkpoint.path.name)
        checkpoint.warn_of_versions()
        return going_on.to_its_end()
