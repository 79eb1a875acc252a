"""Pictures of final evaluations: performance profiles, and which run is better."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._drawing import COLOURS, describe_count, look, tidy
from ._plot import legend_below, panels_of
from ._scores import Comparison, Scores
from ._statistics import bootstrap_interval, performance_profile

_RESAMPLES = 2000


def profiles_figure(scores: Sequence[Scores]) -> Any:
    """Draws the share of seeds whose mean return lies above a threshold, with 95 % bootstrap bands.

    Args:
        scores: Of at least one run; each environment has a panel.

    Returns:
        The figure.
    """
    labels = list(dict.fromkeys(each.label for each in scores))
    figure, panels = panels_of(list(dict.fromkeys(each.environment for each in scores)))
    lines = {}
    for environment, axes in panels.items():
        here = [each for each in scores if each.environment == environment]
        thresholds = _thresholds(here)
        for each in here:
            line = _draw_profile(axes, each, thresholds, look(labels.index(each.label)))
            lines.setdefault(each.label, (line, []))[1].append(describe_count(len(each.means)))
        tidy(axes, environment, steps=False)
        axes.set(xlabel="return τ", ylabel="share of seeds above τ", ylim=(-0.03, 1.03))
    title = "band: 95 % bootstrap interval" if any(len(each.means) > 1 for each in scores) else ""
    legend_below(figure, lines, title)
    return figure


def comparisons_figure(comparisons: Sequence[Comparison]) -> Any:
    """Draws how probable it is that a run of one agent beats one of another, with 95 % bootstrap intervals."""
    names = list(dict.fromkeys(each.environment for each in comparisons))
    most = max(sum(each.environment == name for each in comparisons) for name in names)
    figure, panels = panels_of(names, height=1.5 + 0.34 * most)
    for environment, axes in panels.items():
        here = [each for each in comparisons if each.environment == environment]
        places = np.arange(len(here))[::-1]
        for place, each in zip(places, here, strict=True):
            axes.plot(
                [each.low, each.high], [place, place], color=COLOURS[0], linewidth=6, alpha=0.35, solid_capstyle="butt"
            )
            axes.plot(each.probability, place, "o", color=COLOURS[0])
        axes.axvline(0.5, color="black", linewidth=1, linestyle=":")
        axes.set_yticks(places, [f"{each.x} > {each.y}" for each in here], parse_math=False)
        tidy(axes, environment, steps=False)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.6, len(here) - 0.4))
        axes.set_xlabel("probability of improvement, 95 % interval")
    return figure


def _draw_profile(axes: Any, scores: Scores, thresholds: np.ndarray, style: dict[str, Any]) -> Any:
    """Draws one profile; it changes at the returns of seeds and nowhere else."""
    (line,) = axes.plot(
        thresholds, performance_profile(scores.means, thresholds), linewidth=2, drawstyle="steps-post", **style
    )
    if len(scores.means) > 1:
        above = scores.means > thresholds[:, None]
        low, high = np.array([bootstrap_interval(each, resamples=_RESAMPLES) for each in above]).T
        axes.fill_between(thresholds, low, high, step="post", color=style["color"], alpha=0.2, linewidth=0)
    return line


def _thresholds(scores: Sequence[Scores]) -> np.ndarray:
    """Returns every return of a seed, and a margin at both ends."""
    values = np.unique(np.concatenate([each.means for each in scores]))
    margin = 0.05 * (values[-1] - values[0]) or 0.05 * abs(values[0]) or 1.0
    return np.concatenate([[values[0] - margin], values, [values[-1] + margin]])
