"""Learning curves."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._configuration import UsageError
from ._curves import Curve, curve_of
from ._drawing import Statistic, describe_curve, draw_curve, draw_legend, name_of, new_figure, save_figure, tidy
from ._statistics import interquartile_mean


def plot_curve(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draws the return of a run's training episodes; nothing where there is none to draw.

    Args:
        rows: Of `metrics.jsonl`.
        title: Above the picture.
        path: Where to save it.
    """
    try:
        curve = curve_of(rows, "episode_return", environment=title)
    except UsageError:  # no episode has ended
        return
    save_figure(curves_figure([curve], "episode_return"), path)


def curves_figure(curves: Sequence[Curve], metric: str, statistic: Statistic = interquartile_mean) -> Any:
    """Draws curves against environment steps, those of each environment in a panel of its own.

    Args:
        curves: Those with the same label look the same in every panel.
        metric: What they show.
        statistic: Over seeds.

    Returns:
        The figure. One run alone shows its seeds as thin lines too.
    """
    labels = list(dict.fromkeys(curve.label for curve in curves))
    figure, panels = panels_of(list(dict.fromkeys(curve.environment for curve in curves)))
    lines = {}
    for curve in curves:
        axes = panels[curve.environment]
        line = draw_curve(axes, curve, labels.index(curve.label), statistic=statistic, seeds=len(curves) == 1)
        tidy(axes, curve.environment)
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(metric_text(metric))
        lines.setdefault(curve.label, (line, []))[1].append(describe_curve(curve))
    intervals = any(len(curve.seeds) > 1 for curve in curves)
    title = f"{name_of(statistic)} over seeds; band: 95 % bootstrap interval" if intervals else ""
    legend_below(figure, lines, title)
    return figure


def panels_of(names: Sequence[str], height: float = 4.2) -> tuple[Any, dict[str, Any]]:
    """Makes a figure with a panel a name, at most three in a row."""
    columns = min(3, len(names))
    down = math.ceil(len(names) / columns)
    width = 7.0 if len(names) == 1 else 4.5 * columns
    figure = new_figure(width, height if len(names) == 1 else 0.8 + 0.85 * height * down)
    return figure, {name: figure.add_subplot(down, columns, place) for place, name in enumerate(names, 1)}


def legend_below(figure: Any, lines: dict[str, tuple[Any, list[str]]], title: str = "") -> None:
    """Writes one legend for all panels, below them, in as many columns as fit; by label a line and a remark a panel."""
    labels = []
    for label, (_, each) in lines.items():
        remark = " / ".join(dict.fromkeys(each))
        labels.append(f"{label} ({remark})" if label else remark)
    wide = max(map(len, labels)) * 0.085 + 0.6
    columns = max(1, min(len(labels), int(figure.get_figwidth() / wide)))
    figure.set_figheight(figure.get_figheight() + 0.22 * (math.ceil(len(labels) / columns) - 1))
    draw_legend(figure, [line for line, _ in lines.values()], labels, title, loc="outside lower center", ncols=columns)


def metric_text(metric: str) -> str:
    """Writes the name of a metric for readers."""
    return "return of training episodes" if metric == "episode_return" else metric.replace("_", " ")
