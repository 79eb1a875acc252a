"""Points of a run, made by hand, and what gives them to log back ends."""

from bellmax.experiment import Configuration, LoggedRun
from bellmax.experiment._log_names import make_log, sinks_of


def told(folder, seeds=2, after=None):
    return LoggedRun(Configuration("td", "toy/chain", 100, 4, seeds, 0, {}), folder, after)


def point(step, seeds=(0, 1), loss=0.5):
    return [
        {"step": step, "seed": seed, "seconds": 0.25, "episodes": 2, "episode_return": step + seed, "loss": loss}
        for seed in seeds
    ]


def logged(folder, names, steps, *, seeds=2, after=None):
    """Gives back ends some points of a run."""
    write(make_log(*sinks_of(names)), folder, steps, seeds=seeds, after=after)


def write(log, folder, steps, *, seeds=2, after=None):
    with log.opened(told(folder, seeds, after)):
        for step in steps:
            log.write(point(step, range(seeds)))
