"""The learning curve."""

from pathlib import Path
from typing import Any

import numpy as np

from ._statistics import bootstrap_interval


def plot_curve(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draws the mean return of training episodes against environment steps, a thin line a seed.

    Args:
        rows: Of `metrics.jsonl`.
        title: Above the picture.
        path: Where to save it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    seeds = sorted({row["seed"] for row in rows})
    steps = sorted({row["step"] for row in rows})
    table = np.full((len(steps), len(seeds)), np.nan)
    for row in rows:
        if row["episode_return"] is not None:
            table[steps.index(row["step"]), seeds.index(row["seed"])] = row["episode_return"]
    known = ~np.isnan(table).any(axis=1)
    steps, table = np.asarray(steps)[known], table[known]
    if len(seeds) > 1:
        axes.plot(steps, table, color="tab:blue", alpha=0.25, linewidth=0.8)
        bounds = np.array([bootstrap_interval(values, resamples=1000) for values in table]).reshape(-1, 2)
        low, high = bounds.T
        axes.fill_between(steps, low, high, color="tab:blue", alpha=0.2, linewidth=0, label="95 % interval of the mean")
    label = f"mean of {len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
    axes.plot(steps, table.mean(axis=1), color="tab:blue", linewidth=2, label=label)
    axes.set(title=title, xlabel="environment steps", ylabel="return of training episodes")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
