"""Rows of metrics: what is known of a run at one point."""

import jax
import numpy as np

from .._core import Mean
from ._folder import finite
from ._metrics_file import Row
from ._statistics import bootstrap_interval, interquartile_mean

_NO_METRICS = ("step", "seed", "seconds", "episodes")
_RESAMPLES = 1000
"""Draws of the bootstrap: a third of a millisecond for ten seeds."""


def rows_of(metrics: dict[str, Mean], steps: int, seconds: float, seeds: list[int]) -> list[Row]:
    """Makes a row a seed.

    Args:
        metrics: Since the last row, with a leading axis of seeds.
        steps: Environment steps of each seed.
        seconds: Wall time so far.
        seeds: Which seeds these are.

    Returns:
        The rows; a metric without weight is None.
    """
    # All at once, and past the attributes of Mean: one by one they cost ten times as much.
    leaves, names = np.asarray(jax.tree.leaves(metrics)), sorted(metrics)
    totals, weights = leaves[0::2], leaves[1::2]
    with np.errstate(invalid="ignore"):
        values = dict(zip(names, (totals / weights).tolist(), strict=True))
    episodes = weights[names.index("episode_return")].tolist()
    return [
        {"step": steps, "seed": seed, "seconds": round(seconds, 3), "episodes": int(episodes[place])}
        | {name: finite(value[place]) for name, value in values.items()}
        for place, seed in enumerate(seeds)
    ]


def summary_of(rows: list[Row]) -> Row:
    """Makes one row out of those of all seeds.

    Args:
        rows: A row a seed, of one point.

    Returns:
        A row whose `seed` is None. Episodes are added up; each metric is the mean over the seeds that have it, None if
        none has. Beside the mean of the episode return stand its interquartile mean and the ends of a 95 % bootstrap
        interval of the mean, which a single value does not have.
    """
    first = rows[0]
    known = {name: np.array([row[name] for row in rows if row[name] is not None], float) for name in first}
    means = {name: float(values.mean()) if len(values) else None for name, values in known.items()}
    returns = known["episode_return"]
    low, high = bootstrap_interval(returns, resamples=_RESAMPLES) if len(returns) > 1 else (None, None)
    return {
        "step": first["step"],
        "seed": None,
        "seconds": first["seconds"],
        "episodes": sum(row["episodes"] or 0 for row in rows),
        **{name: mean for name, mean in means.items() if name not in _NO_METRICS},
        "episode_return_iqm": float(interquartile_mean(returns)) if len(returns) else None,
        "episode_return_low": low,
        "episode_return_high": high,
    }
