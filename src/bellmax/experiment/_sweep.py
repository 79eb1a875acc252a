"""Many configurations, each with some seeds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..training import Trainer
from ._configuration import Configuration, UsageError
from ._folder import RunFolder
from ._placement import devices_of
from ._settings import Settings
from ._signals import interruptible
from ._sweep_folder import SweepFolder, finished
from ._sweep_grid import grid, value_of_knob
from ._sweep_plan import Plan
from ._sweep_plot import plot_sweep
from ._sweep_table import SweepRow, ranked, write_tables
from ._sweep_training import train_outside, train_program


def sweep(
    configuration: Configuration,
    values: Mapping[str, Sequence[Any]],
    out: str | Path,
    *,
    replace: bool = False,
    at_once: int | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
    **settings: Any,
) -> list[SweepRow]:
    """Trains every configuration of a product of lists, each with all seeds, and leaves a folder.

    Configurations that differ in numbers only are trained side by side in one compiled program, spread over the
    devices; outside JAX they are trained one after another. Each leaves the run folder, with the agent, that
    `train_run` would have left. Called again with the same arguments it goes on with what is not finished.

    Args:
        configuration: Gives every value that is not swept, the seeds and the key; all configurations share their seeds.
        values: Names of hyperparameters, `steps` or `num_envs`, each with its values.
        out: The folder of the sweep.
        replace: Whether a sweep that is there may be deleted; else another one is refused.
        at_once: How many members, a configuration with one seed each, a device trains at once; None for all of a
            program.
        dry_run: Whether to say the plan and do nothing.
        say: Is told what is done already, and the plan.
        **settings: Fields of `Settings`: episodes, workers, devices, how. Members are what is spread over devices, and
            runs that are trained together make no checkpoints.

    Returns:
        A row for each configuration that is finished, best first.

    Raises:
        UsageError: If a value does not fit, or the folder holds something else.
        SweepInterrupted: After Ctrl-C or SIGTERM, when the agents are saved as they are.
    """
    carried_out = Settings(**settings | {"spread": "seeds", "check_replicas": 0, "checkpoint_every": 0.0})
    if carried_out.log:
        raise UsageError(f"a sweep has no log back ends, each of its runs has its metrics.jsonl; got {carried_out.log}")
    episodes = carried_out.episodes
    configurations = dict(enumerate(grid(configuration, values)))
    folder = SweepFolder(Path(out))
    folders = {place: folder.run(place, each, list(values)) for place, each in configurations.items()}
    folder.check(configuration, values, episodes=episodes, replace=replace)
    rows: dict[int, SweepRow] = {}

    def done(place, evaluation):
        knobs = {name: value_of_knob(configurations[place], name) for name in values}
        rows[place] = SweepRow(folders[place].path, knobs, evaluation)

    if not replace:
        for place, evaluation in finished(folders, configurations, episodes).items():
            done(place, evaluation)
    left = {place: each for place, each in configurations.items() if place not in rows}
    devices = len(devices_of(carried_out))
    plan = Plan.of(left, list(values), workers=carried_out.workers, devices=devices, at_once=at_once)
    if rows:
        say(f"{len(rows)} of {len(configurations)} configurations are finished already")
    if left:
        say(str(plan))
    if dry_run:
        return ranked(rows[place] for place in sorted(rows))
    with RunFolder(folder.path).locked(), interruptible() as interruption:
        folder.create(configuration, values, episodes=episodes, replace=replace)
        write_tables([rows[place] for place in sorted(rows)], folder.path)
        common: Any = {"settings": carried_out, "interruption": interruption, "done": done}
        for number, (program, passes) in enumerate(plan.programs, 1):
            if len(plan.programs) > 1:
                say(f"program {number} of {len(plan.programs)}")
            try:
                if isinstance(program.trainer, Trainer):
                    train_program(program, passes, folders, **common)
                else:
                    train_outside(program, folders, **common)
            finally:
                if rows:
                    write_tables([rows[place] for place in sorted(rows)], folder.path)
        title = f"{configuration.algorithm} on {configuration.environment}"
        plot_sweep([rows[place] for place in sorted(rows)], title, folder.path / "sweep.png")
    return ranked(rows[place] for place in sorted(rows))
