"""The final returns of runs, and how they compare."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from ._configuration import UsageError
from ._evaluation import read_evaluation
from ._named_runs import NamedRun
from ._statistics import bootstrap_interval, probability_of_improvement

_RESAMPLES = 5000
_MOST = 8
"""Runs on one environment of which each two are compared."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """What the final evaluation of a run found.

    Attributes:
        label: Names the run.
        environment: On which it was trained.
        means: The mean return of each seed.
    """

    label: str
    environment: str
    means: np.ndarray

    @classmethod
    def of(cls, run: NamedRun) -> "Scores":
        """Reads those of a run.

        Raises:
            UsageError: If it has none, or a seed's return is not a number.
        """
        path, evaluation = run.folder.path, read_evaluation(run.folder)
        if evaluation is None:
            raise UsageError(
                f"{path} has no evaluation.json that can be read: the run has not come to its end; "
                f"`bellmax resume {path}` goes on with it, if it has a checkpoint"
            )
        means = np.array(evaluation.seed_means)
        if not np.isfinite(means).all():
            wrong = ", ".join(str(seed) for seed in np.flatnonzero(~np.isfinite(means)))
            raise UsageError(
                f"the return of seed {wrong} of {path} is not a number, so it cannot be above or below another"
            )
        return cls(run.label, run.configuration.environment, means)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Whether the runs of one agent beat those of another.

    Attributes:
        environment: Of both.
        x: Label of the first.
        y: Label of the second.
        probability: That a run of the first beats one of the second.
        low: Lower end of its 95 % bootstrap interval, drawn within each agent; NaN where one has a single seed.
        high: Upper end.
        seeds: How many of each.
    """

    environment: str
    x: str
    y: str
    probability: float
    low: float
    high: float
    seeds: tuple[int, int]

    @classmethod
    def of(cls, x: Scores, y: Scores) -> "Comparison":
        """Compares two runs on one environment."""
        seeds, low, high = (len(x.means), len(y.means)), np.nan, np.nan
        if min(seeds) > 1:
            low, high = bootstrap_interval(x.means, y.means, resamples=_RESAMPLES, statistic=probability_of_improvement)
        probability = float(probability_of_improvement(x.means, y.means))
        return cls(x.environment, x.label, y.label, probability, low, high, seeds)

    def __str__(self) -> str:
        seeds = "{} and {} seeds".format(*self.seeds)
        interval = "no interval: one seed has no spread"
        if min(self.seeds) > 1:
            interval = f"95 % interval {self.low:.2f} to {self.high:.2f}"
        return f"{self.environment}: P({self.x} > {self.y}) = {self.probability:.2f}, {interval} ({seeds})"


def comparisons(scores: Sequence[Scores]) -> list[Comparison]:
    """Compares each two runs on the same environment, in the order given.

    Raises:
        UsageError: If no two runs share an environment, or more than eight do.
    """
    for environment in dict.fromkeys(each.environment for each in scores):
        count = sum(each.environment == environment for each in scores)
        if count > _MOST:
            raise UsageError(f"--compare takes at most {_MOST} runs of an environment; got {count} of {environment}")
    found = [Comparison.of(x, y) for x, y in itertools.combinations(scores, 2) if x.environment == y.environment]
    if not found:
        raise UsageError("--compare needs two runs or more on one environment")
    return found
