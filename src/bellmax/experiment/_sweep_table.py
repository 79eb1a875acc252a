"""The results of a sweep as tables."""

import csv
import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._evaluation import Evaluation
from ._statistics import interquartile_mean
from ._sweep_grid import as_text

LUCK = (
    "The best of {:,} is chosen by its luck too, so its return is biased upwards: train it again with another --key "
    "before you report it."
)
_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class SweepRow:
    """What one configuration of a sweep came to.

    Attributes:
        run: Its run folder.
        knobs: The values that are swept, by name.
        evaluation: Its final evaluation; not a number where a network is not.
    """

    run: Path
    knobs: dict[str, Any]
    evaluation: Evaluation

    @property
    def mean(self) -> float:
        """Mean over seeds of each seed's mean return."""
        return self.evaluation.mean

    @property
    def low(self) -> float:
        """Lower end of the 95 % bootstrap interval of the mean."""
        return self.evaluation.low

    @property
    def high(self) -> float:
        """Upper end."""
        return self.evaluation.high

    @property
    def iqm(self) -> float:
        """Interquartile mean over seeds of each seed's mean return."""
        means = np.asarray(self.evaluation.seed_means)
        return float(interquartile_mean(means)) if np.all(np.isfinite(means)) else math.nan


def ranked(rows: Iterable[SweepRow]) -> list[SweepRow]:
    """Returns the rows with the highest mean first, and what is not a number last."""
    return sorted(rows, key=lambda row: -row.mean if math.isfinite(row.mean) else math.inf)


def write_tables(rows: Sequence[SweepRow], folder: Path) -> None:
    """Writes `results.csv`, a row for each configuration and seed, and `summary.csv`, a row for each configuration."""
    names = list(rows[0].knobs) if rows else []
    knobs = [[as_text(value) for value in row.knobs.values()] for row in rows]
    results = [
        [row.run.name, *texts, seed, mean]
        for row, texts in zip(rows, knobs, strict=True)
        for seed, mean in enumerate(row.evaluation.seed_means)
    ]
    _write(folder / "results.csv", ["run", *names, "seed", "return"], results)
    summary = [
        [row.run.name, *texts, row.evaluation.seeds, row.mean, row.low, row.high, row.iqm]
        for row, texts in zip(rows, knobs, strict=True)
    ]
    _write(folder / "summary.csv", ["run", *names, "seeds", "mean", "low", "high", "iqm"], summary)


def table_text(rows: Sequence[SweepRow]) -> str:
    """Returns a table for the terminal, best first, with what to think of the best."""
    best = ranked(rows)
    head = [name.replace("_", "-") for name in best[0].knobs]
    cells = [[*head, "mean", "95 % interval", "IQM"]]
    for row in best[:_SHOWN]:
        interval = f"{row.low:.1f} to {row.high:.1f}"
        cells.append([*map(as_text, row.knobs.values()), f"{row.mean:.1f}", interval, f"{row.iqm:.1f}"])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    if len(rows) > _SHOWN:
        lines.append(f"... and {len(rows) - _SHOWN:,} more in summary.csv")
    over = "seeds" if best[0].evaluation.seeds > 1 else "the episodes of one seed"
    lines.append(f"Intervals are over {over}. {LUCK.format(len(rows))}")
    return "\n".join(lines)


def _write(path: Path, head: list[str], rows: list[list[Any]]) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    os.replace(temporary, path)
