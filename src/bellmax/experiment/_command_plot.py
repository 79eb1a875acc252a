"""`bellmax plot`."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ._configuration import UsageError
from ._curves import Curve, curve_of
from ._drawing import FORMATS, MOST_LINES, save_figure
from ._flags import flag, parse, positional, switch
from ._named_runs import NamedRun, named_runs
from ._plot import curves_figure
from ._score_plots import comparisons_figure, profiles_figure
from ._scores import Scores, comparisons
from ._statistics import interquartile_mean

T = TypeVar("T")


def plot(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    options, more = parse(plot_options(), flags, "bellmax plot RUN...")
    names += more
    if not names:
        raise UsageError("plot needs a run folder, or several, or that of a sweep; got none")
    if options.profile and options.compare:
        raise UsageError("--profile and --compare draw a picture each: give one of them at a time")
    if (options.profile or options.compare) and (options.metric != "episode_return" or options.smooth != 1):
        raise UsageError("--profile and --compare draw final evaluations, which have no --metric and no --smooth")
    if options.smooth < 1:
        raise UsageError(f"smooth must be at least 1, the point itself; got {options.smooth}")
    kind = "profile" if options.profile else "comparison" if options.compare else "curves"
    out = Path(options.out or f"{kind}.png")
    if out.suffix not in FORMATS:
        raise UsageError(f"--out must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; got {out}")
    runs = named_runs(names)
    _check_count(runs)
    save_figure(_figure(kind, runs, options), out)
    print(out)
    return 0


def curve_of_run(run: NamedRun, metric: str, smooth: int = 1) -> Curve:
    """Reads a curve of a run.

    Raises:
        UsageError: If the run has no metrics, or not this one.
    """
    path = run.folder.path
    rows = run.folder.read_metrics()
    if not rows:
        raise UsageError(f"{path} has no row in metrics.jsonl: the run has not come to its first")
    try:
        return curve_of(rows, metric, label=run.label, environment=run.configuration.environment, smooth=smooth)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _figure(kind: str, runs: Sequence[NamedRun], options: Any) -> Any:
    if kind == "curves":
        curves = _of_each(runs, lambda run: curve_of_run(run, options.metric, options.smooth))
        for curve in curves:
            for note in curve.notes:
                print(f"{curve.label} on {curve.environment}: {note}", file=sys.stderr)
        return curves_figure(curves, options.metric, np.mean if options.mean else interquartile_mean)
    scores = _of_each(runs, Scores.of)
    if kind == "profile":
        return profiles_figure(scores)
    found = comparisons(scores)
    for each in found:
        print(each)
    return comparisons_figure(found)


def _of_each(runs: Sequence[NamedRun], read: Callable[[NamedRun], T]) -> list[T]:
    """Reads something of each run; what a sweep's run lacks is said, what one that was named lacks is an error."""
    found = []
    for run in runs:
        try:
            found.append(read(run))
        except UsageError as error:
            if not run.of_sweep:
                raise
            print(f"left out: {error}", file=sys.stderr)
    if not found:
        raise UsageError("none of the runs has what is to be drawn")
    return found


def _check_count(runs: Sequence[NamedRun]) -> None:
    """Refuses more lines than can be told apart."""
    count = len({run.label for run in runs})
    if count > MOST_LINES:
        raise UsageError(f"at most {MOST_LINES} lines can be told apart; got {count}: name some of the run folders")


def plot_options() -> type:
    """Makes the flags of `plot`."""
    flags = [
        flag("out", str | None, None, "Where to: a .png, .svg or .pdf file; curves, profile or comparison.png here."),
        flag("metric", str, "episode_return", "Which column of metrics.jsonl."),
        flag("smooth", int, 1, "Each point of a seed becomes the mean of so many rows, itself the last."),
        switch("mean", "Draw the mean over seeds; without it, the interquartile mean (IQM)."),
        switch("profile", "Draw the share of seeds whose final return lies above each threshold instead."),
        switch("compare", "Draw and print how probable it is that one run's seed beats another's instead."),
    ]
    description = (
        "Draws the learning curves of runs against environment steps: a line a run, a panel an environment, with 95 % "
        "bootstrap bands over seeds. The folder of a sweep stands for all its runs."
    )
    return dataclasses.make_dataclass("PlotOptions", flags, namespace={"__doc__": description})
