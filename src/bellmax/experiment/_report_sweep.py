"""What a report says of a sweep."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from ._configuration import UsageError
from ._curves import curve_of
from ._evaluation import read_evaluation
from ._html import code, escaped, paragraph, picture, section, table
from ._named_runs import NamedRun
from ._plot import curves_figure
from ._report_configuration import configuration_table
from ._report_figures import Figures
from ._report_texts import State, header, interval, number, seed_table
from ._sweep_grid import as_text, value_of_knob
from ._sweep_plot import sweep_figure
from ._sweep_table import LUCK, SweepRow, ranked

_MOST_CURVES = 7
_MOST_RUNS = 20


def sweep_body(path: Path, runs: Sequence[NamedRun], figures: Figures) -> tuple[str, list[str]]:
    """Returns the title and the parts of a sweep's page."""
    content = json.loads((path / "config.json").read_text())
    names = list(content["values"])
    rows = {}
    for run in runs:
        evaluation = read_evaluation(run.folder)
        if evaluation is not None:
            knobs = {name: value_of_knob(run.configuration, name) for name in names}
            rows[run.folder.path] = SweepRow(run.folder.path, knobs, evaluation)
    total = math.prod(len(each) for each in content["values"].values())
    by_path = {run.folder.path: run for run in runs}
    best = [by_path[row.run] for row in ranked(rows.values())]
    best += [run for run in runs if run.folder.path not in rows]
    configuration = runs[0].configuration
    title = f"Sweep of {configuration.algorithm} on {configuration.environment}"
    kind = "finished" if len(rows) == total else "interrupted"
    state = State(kind, f"{len(rows):,} of {total:,} configurations have come to their end")
    return title, [
        header(title, path, state),
        section("Configurations, the best first", _ranking(names, best, rows), _picture(list(rows.values()), figures)),
        section("Learning curves", _curves(best[:_MOST_CURVES], figures, len(best))),
        section("Runs", "".join(_details(run, rows.get(run.folder.path)) for run in best[:_MOST_RUNS]), _more(best)),
        configuration_table(configuration, without=names),
    ]


def _ranking(names: Sequence[str], runs: Sequence[NamedRun], rows: dict[Path, SweepRow]) -> str:
    """Returns the table of all configurations."""
    lines = []
    for run in runs:
        row = rows.get(run.folder.path)
        knobs = [as_text(value_of_knob(run.configuration, name)) for name in names]
        if row is None:
            lines.append([*knobs, "", State.of(run).kind, "", ""])
        else:
            lines.append(
                [*knobs, str(row.evaluation.seeds), number(row.mean), interval(row.low, row.high), number(row.iqm)]
            )
    head = [*(name.replace("_", "-") for name in names), "seeds", "mean return", "95 % interval", "IQM"]
    one = all(row.evaluation.seeds == 1 for row in rows.values())
    over = "With one seed an interval is over its episodes and says nothing about other seeds. " if one and rows else ""
    return table(head, lines, numbers=4) + (paragraph(over + LUCK.format(len(rows)), "soft") if rows else "")


def _picture(rows: Sequence[SweepRow], figures: Figures) -> str:
    if not any(math.isfinite(row.mean) for row in rows):
        return ""
    return picture(figures(sweep_figure(rows, "Final return"), "Final return of each configuration", 5.6))


def _curves(runs: Sequence[NamedRun], figures: Figures, count: int) -> str:
    """Draws the best configurations together."""
    curves, notes = [], []
    for run in runs:
        try:
            curves.append(curve_of(run.folder.read_metrics(), "episode_return", label=run.label))
            notes += [f"{run.label}: {note}" for note in curves[-1].notes]
        except UsageError as error:
            notes.append(f"{run.label} is not drawn: {error}")
    if count > len(runs):
        notes.append(f"The best {len(runs)} of {count:,}; `bellmax plot` draws those that you name.")
    drawn = picture(figures(curves_figure(curves, "episode_return"), "Learning curves", 5.2, 3.9)) if curves else ""
    return drawn + "".join(paragraph(note, "soft") for note in notes)


def _details(run: NamedRun, row: SweepRow | None) -> str:
    """Returns one run, folded."""
    state, path = State.of(run), run.folder.path
    found = f"{number(row.mean)}, 95 % interval {interval(row.low, row.high)}" if row else state.kind
    seeds = seed_table(row.evaluation.seed_means) if row else ""
    load = code(f"from bellmax.experiment import load_agent\n\nagent = load_agent({str(path)!r})")
    body = paragraph(f"{state.kind}: {state.text}") + seeds + load
    return f"<details><summary>{escaped(run.label)}: {escaped(found)}</summary>{body}</details>\n"


def _more(runs: Sequence[NamedRun]) -> str:
    left = len(runs) - _MOST_RUNS
    return (
        paragraph(f"{left:,} more are in the folder `runs`; `bellmax report` takes each of them too.")
        if left > 0
        else ""
    )
