"""The picture of a sweep."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._drawing import COLOURS, new_figure, save_figure, tidy
from ._sweep_grid import as_number, as_text
from ._sweep_table import SweepRow, ranked

_LONGEST = 40
"""Configurations in a ranking."""
_DECADE = 10.0
"""From which ratio of largest to smallest value on an axis is logarithmic."""


def plot_sweep(rows: Sequence[SweepRow], title: str, path: Path) -> None:
    """Draws `sweep_figure` to a file."""
    save_figure(sweep_figure(rows, title), path)


def sweep_figure(rows: Sequence[SweepRow], title: str) -> Any:
    """Draws the mean return against one number, over two knobs as a map, else as a ranking.

    Args:
        rows: One a configuration, in the order of the sweep.
        title: Above the picture.

    Returns:
        The figure.
    """
    swept = [name for name in rows[0].knobs if len({as_text(row.knobs[name]) for row in rows}) > 1]
    numeric = len(swept) == 1 and all(as_number(row.knobs[swept[0]]) is not None for row in rows)
    shown = min(len(rows), _LONGEST)
    height = 4.2 if numeric else 5.0 if len(swept) == 2 else max(3.0, 1.5 + 0.28 * shown)
    figure = new_figure(7, height)
    axes = figure.add_subplot()
    if numeric:
        _draw_curve(axes, rows, swept[0])
    elif len(swept) == 2:
        _draw_map(figure, axes, rows, swept)
    else:
        _draw_ranking(axes, rows, swept)
    seeds = rows[0].evaluation.seeds
    axes.set_title(f"{title}, {seeds} seed{'s' * (seeds > 1)} each")
    return figure


def _draw_curve(axes: Any, rows: Sequence[SweepRow], name: str) -> None:
    """Draws the mean with its interval, and a dot a seed."""
    rows = sorted(rows, key=lambda row: as_number(row.knobs[name]) or 0.0)
    x = np.array([as_number(row.knobs[name]) for row in rows], float)
    means, lows, highs = (np.array([getattr(row, what) for row in rows]) for what in ("mean", "low", "high"))
    dots = [(place, mean) for place, row in zip(x, rows, strict=True) for mean in row.evaluation.seed_means]
    axes.plot(*zip(*dots, strict=True), "o", color=COLOURS[0], alpha=0.3, markersize=5, label="a seed")
    axes.errorbar(
        x, means, yerr=[means - lows, highs - means], color=COLOURS[0], marker="o", linewidth=2, capsize=4,
        label="mean and 95 % interval",
    )  # fmt: skip
    if x[0] > 0 and x[-1] / x[0] >= _DECADE:
        axes.set_xscale("log")
        axes.minorticks_off()
    if len(x) <= 10:
        axes.set_xticks(x, [as_text(row.knobs[name]) for row in rows])
    axes.set(xlabel=_label(name), ylabel="return")
    tidy(axes, steps=False)
    axes.legend(frameon=False)


def _draw_map(figure: Any, axes: Any, rows: Sequence[SweepRow], names: list[str]) -> None:
    """Draws the mean as a colour and writes it in its cell."""
    down, right = (_values(rows, name) for name in names)
    table = np.full((len(down), len(right)), np.nan)
    for row in rows:
        table[down.index(as_text(row.knobs[names[0]])), right.index(as_text(row.knobs[names[1]]))] = row.mean
    image = axes.imshow(table, aspect="auto", origin="lower", cmap="viridis")
    figure.colorbar(image, label="mean return")
    middle = (np.nanmin(table) + np.nanmax(table)) / 2 if np.isfinite(table).any() else 0.0
    if table.size <= 150:
        for (i, j), mean in np.ndenumerate(table):
            text = f"{mean:.1f}" if math.isfinite(mean) else "–"
            axes.text(j, i, text, ha="center", va="center", color="white" if mean < middle else "#222222", fontsize=8)
    axes.set_yticks(range(len(down)), down)
    axes.set_xticks(range(len(right)), right, rotation=45 if sum(map(len, right)) > 40 else 0)
    axes.set(ylabel=_label(names[0]), xlabel=_label(names[1]))


def _draw_ranking(axes: Any, rows: Sequence[SweepRow], names: list[str]) -> None:
    """Draws the best configurations from the top, each with its interval."""
    best = [row for row in ranked(rows) if math.isfinite(row.mean)][:_LONGEST]
    places = np.arange(len(best))[::-1]
    means, lows, highs = (np.array([getattr(row, what) for row in best]) for what in ("mean", "low", "high"))
    axes.errorbar(means, places, xerr=[means - lows, highs - means], fmt="o", color=COLOURS[0], capsize=3)
    axes.set_yticks(places, [", ".join(as_text(row.knobs[name]) for name in names) for row in best], fontsize=8)
    axes.set_ylabel(", ".join(map(_label, names)))
    left_out = len(rows) - len(best)
    axes.set_xlabel(f"return: mean and 95 % interval{f'; {left_out} more not shown' if left_out else ''}")
    tidy(axes, steps=False)


def _values(rows: Sequence[SweepRow], name: str) -> list[str]:
    """Returns a knob's values: numbers by size, others in the order of the sweep."""
    values = {as_text(row.knobs[name]): as_number(row.knobs[name]) for row in rows}
    if all(number is not None for number in values.values()):
        return sorted(values, key=lambda text: values[text] or 0.0)
    return list(values)


def _label(name: str) -> str:
    return name.replace("_", " ")
