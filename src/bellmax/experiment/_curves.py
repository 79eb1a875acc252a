"""A metric of some seeds on common environment steps."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._configuration import UsageError, choose
from ._statistics import bootstrap_interval

_RESAMPLES = 2000
"""Of a point of a band: its ends are drawn, not read."""
_OF_EPISODES = ("episode_return", "episode_length")
_NO_METRIC = ("step", "seed")


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric of each seed of a run.

    Attributes:
        label: Names the run.
        environment: On which it was trained.
        steps: Environment steps of a seed, `(points,)`.
        values: The metric, `(points, seeds)`; not a number where a seed's is none.
        seeds: Which seeds.
        notes: What a reader of the picture should know.
    """

    label: str
    environment: str
    steps: np.ndarray
    values: np.ndarray
    seeds: list[int]
    notes: list[str]

    def line(self, statistic: Callable[..., np.ndarray]) -> np.ndarray:
        """Returns a statistic over seeds at each point."""
        return statistic(self.values, axis=1)

    def band(self, statistic: Callable[..., np.ndarray]) -> np.ndarray | None:
        """Returns the ends of its 95 % bootstrap interval over seeds, `(points, 2)`; None for one seed."""
        if len(self.seeds) < 2:
            return None
        ends = [bootstrap_interval(row, resamples=_RESAMPLES, statistic=statistic) for row in self.values]
        return np.array(ends).reshape(-1, 2)


def curve_of(
    rows: Sequence[dict[str, Any]], metric: str, *, label: str = "", environment: str = "", smooth: int = 1
) -> Curve:
    """Makes a curve of rows of metrics.

    A seed has a point at each of its rows, but where no episode ended or nothing was learned yet. Between two points it
    is interpolated, and the curve has the steps that lie between the first and the last point of every seed. A value
    that is not a number stays.

    Args:
        rows: Of `metrics.jsonl`.
        metric: The name of a column.
        label: Names the run.
        environment: On which it was trained.
        smooth: Each point of a seed becomes the mean of so many points, itself the last: no point knows later ones.

    Raises:
        UsageError: If there is no such metric, or no step that all seeds have come to.
    """
    choose("metric", metric, metrics_in(rows))
    seeds = sorted({row["seed"] for row in rows})
    points = {seed: _points([row for row in rows if row["seed"] == seed], metric) for seed in seeds}
    empty = [seed for seed in seeds if not len(points[seed][0])]
    points = {seed: each for seed, each in points.items() if seed not in empty}
    first, last = max(steps[0] for steps, _ in points.values()), min(steps[-1] for steps, _ in points.values())
    if first > last:
        raise UsageError(f"{metric} has no value at a step that all of the {len(seeds)} seeds have come to")
    steps = np.unique(np.concatenate([steps for steps, _ in points.values()]))
    steps = steps[(first <= steps) & (steps <= last)]
    values = np.stack([np.interp(steps, *each) for each in points.values()], axis=1)
    notes = [f"{_seeds(empty)} left out: no value yet"] * bool(empty)
    notes += [*_late_seeds(points, rows, int(last)), *_not_numbers(steps, values, list(points))]
    return Curve(label, environment, steps, _smoothed(values, smooth), list(points), notes)


def metrics_in(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lists the columns that have a number somewhere, in the order of the rows."""
    names = dict.fromkeys(name for row in rows for name in row if name not in _NO_METRIC)
    return [name for name in names if any(isinstance(row.get(name), int | float) for row in rows)]


def _points(rows: Sequence[dict[str, Any]], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps at which one seed has a value, and the values; JSON says null where it is not a number."""
    if metric in _OF_EPISODES:
        rows = [row for row in rows if row.get(metric) is not None or row.get("episodes")]
    else:  # what is learned has no value before the first update
        began = next((place for place, row in enumerate(rows) if row.get(metric) is not None), len(rows))
        rows = rows[began:]
    values = [np.nan if row.get(metric) is None else row[metric] for row in rows]
    return np.array([row["step"] for row in rows], np.int64), np.array(values, np.float64)


def _smoothed(values: np.ndarray, count: int) -> np.ndarray:
    """Takes the mean of each point and those before it."""
    if count == 1:
        return values
    return np.stack([values[max(0, end - count) : end].mean(axis=0) for end in range(1, len(values) + 1)])


def _late_seeds(points: dict[int, Any], rows: Sequence[dict[str, Any]], last: int) -> list[str]:
    """Says where the curve ends because some seeds have not come further than that, by more than one row."""
    ends = {seed: max(row["step"] for row in rows if row["seed"] == seed) for seed in points}
    every = sorted({row["step"] for row in rows})
    late = [seed for seed in points if sum(step > ends[seed] for step in every) > 1]
    furthest = max(ends.values())
    return [f"ends at step {last:,}: {_seeds(late)} came no further, others to {furthest:,}"] if late else []


def _not_numbers(steps: np.ndarray, values: np.ndarray, seeds: Sequence[int]) -> list[str]:
    """Says which seeds have values that are not numbers."""
    wrong = np.isnan(values)
    return [
        f"seed {seed} is not a number at {wrong[:, place].sum()} points, from step {steps[wrong[:, place]][0]:,}"
        for place, seed in enumerate(seeds)
        if wrong[:, place].any()
    ]


def _seeds(seeds: Sequence[int]) -> str:
    shown = ", ".join(map(str, seeds[:5])) + ", ..." * (len(seeds) > 5)
    return f"seed{'s' * (len(seeds) > 1)} {shown}"
