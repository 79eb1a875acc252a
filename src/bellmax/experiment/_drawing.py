"""How pictures are drawn: colours, a curve with its band, files."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._configuration import UsageError
from ._curves import Curve
from ._files import write_whole
from ._statistics import interquartile_mean

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by colour-blind readers too: Okabe and Ito, *Color Universal Design*, 2008, without its yellow."""
_LINES = ("-", "--", "-.", ":")
MOST_LINES = len(COLOURS) * len(_LINES)
FORMATS = (".png", ".svg", ".pdf")
Statistic = Callable[..., np.ndarray]


def look(place: int) -> dict[str, Any]:
    """Returns the colour and the kind of line of one run among others; they stay apart in print without colours."""
    again, colour = divmod(place, len(COLOURS))
    return {"color": COLOURS[colour], "linestyle": _LINES[(colour + again) % len(_LINES)]}


def new_figure(width: float, height: float) -> Any:
    """Makes a figure that needs no screen; inches."""
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise UsageError('pictures need matplotlib: pip install "bellmax[viz]"') from error
    return figures.Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure, whole or not at all, in the format of the suffix.

    Raises:
        UsageError: If the file cannot be written.
    """
    import matplotlib

    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    settings = {"dpi": 150, "format": path.suffix.removeprefix("."), "metadata": metadata}
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "bellmax"}):  # fonts that journals accept
        write_whole(path, lambda temporary: figure.savefig(temporary, **settings))


def tidy(axes: Any, title: str = "", *, steps: bool = True) -> None:
    """Takes away what carries nothing, and writes environment steps short."""
    from matplotlib.ticker import EngFormatter

    axes.set_title(title, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    if steps:
        axes.set_xlabel("environment steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def draw_curve(
    axes: Any, curve: Curve, place: int = 0, *, statistic: Statistic = interquartile_mean, seeds: bool = False
) -> Any:
    """Draws a statistic over seeds with its band, and a cross on the axis wherever a seed is not a number.

    Args:
        axes: Where.
        curve: What.
        place: Of the run among others, from which its look comes.
        statistic: Over seeds.
        seeds: Whether each seed gets a thin line too.

    Returns:
        The line, for the legend.
    """
    style = look(place)
    band = curve.band(statistic)
    if seeds and band is not None:
        axes.plot(curve.steps, curve.values, color=style["color"], alpha=0.25, linewidth=0.8)
    if band is not None:
        axes.fill_between(curve.steps, *band.T, color=style["color"], alpha=0.2, linewidth=0)
    marker = "." if len(curve.steps) == 1 else None
    (line,) = axes.plot(curve.steps, curve.line(statistic), linewidth=2, marker=marker, **style)
    missing = curve.steps[np.isnan(curve.values).any(axis=1)]
    if len(missing):
        crosses = {"marker": "x", "linestyle": "", "color": style["color"], "clip_on": False}
        axes.plot(missing, np.zeros(len(missing)), transform=axes.get_xaxis_transform(), **crosses)
    return line


def describe_curve(curve: Curve) -> str:
    """Says in a legend how many seeds a curve is of, and what a cross is."""
    return describe_count(len(curve.seeds)) + "; ✕ not a number" * bool(np.isnan(curve.values).any())


def describe_count(seeds: int) -> str:
    """Says of how many seeds a statistic is; one has no interval."""
    return f"{seeds} seeds" if seeds > 1 else "1 seed, no interval"


def draw_legend(owner: Any, lines: Sequence[Any], labels: Sequence[str], title: str = "", **place: Any) -> None:
    """Writes labels as they are: no underscore hides one, no dollar makes a formula."""
    legend = owner.legend(lines, [str(number) for number in range(len(lines))], frameon=False, **place)
    legend.set_title(title)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=label, parse_math=False)


def name_of(statistic: Statistic) -> str:
    """Names a statistic in a picture."""
    return "IQM" if statistic is interquartile_mean else "mean"
