"""One page about a run or a sweep."""

import json
from pathlib import Path
from typing import Any

from . import _report_texts as texts
from ._configuration import UsageError
from ._curves import curve_of
from ._evaluation import read_evaluation
from ._files import write_whole
from ._html import page, paragraph, picture, section
from ._named_runs import NamedRun, is_sweep, named_runs
from ._plot import curves_figure
from ._report_configuration import configuration_table
from ._report_figures import Figures, episode, small_multiples
from ._report_sweep import sweep_body


def write_report(run: str | Path, out: str | Path | None = None, *, seed: int = 0, film: bool = True) -> Path:
    """Writes one HTML page about a run, or a sweep, that is whole without a network and without scripts.

    A run that goes on, was killed or failed has a page too: it says what is not there.

    Args:
        run: The folder.
        out: Where to; None for `report.html` in the folder.
        seed: Which seed plays the episode that is shown.
        film: Whether to play one; it takes the environment's own drawing, and seconds.

    Returns:
        Where the page is.

    Raises:
        UsageError: If the folder is neither a run's nor a sweep's, or the page cannot be written.
    """
    path = Path(run).expanduser().resolve()
    target = path / "report.html" if out is None else Path(out).expanduser()
    runs, figures = named_runs([path]), Figures()
    if is_sweep(path):
        title, body = sweep_body(path, runs, figures)
    else:
        title, body = _run_body(runs[0], figures, seed if film else None)
    write_whole(target, lambda temporary: temporary.write_text(page(title, body), encoding="utf8"))
    return target


def _run_body(run: NamedRun, figures: Figures, seed: int | None) -> tuple[str, list[str]]:
    """Returns the title and the parts of a run's page; no seed, no film."""
    configuration, folder = run.configuration, run.folder
    title, state = f"{configuration.algorithm} on {configuration.environment}", texts.State.of(run)
    content = json.loads((folder.path / "config.json").read_text())
    wrong, rows = "", []
    try:
        rows = folder.read_metrics()
    except UsageError as error:
        wrong = paragraph(str(error))
    return title, [
        texts.header(title, folder.path, state),
        texts.returns(read_evaluation(folder)),
        section("Learning curve", wrong, _curve(rows, figures, title)),
        section("An episode", episode(folder, seed)) if seed is not None else "",
        section("Learning metrics", small_multiples(rows, figures)),
        configuration_table(configuration),
        texts.carried_out(run, content, rows),
        texts.checkpoints(run, state),
        texts.afterwards(run),
    ]


def _curve(rows: list[dict[str, Any]], figures: Figures, title: str) -> str:
    """Draws the return of training, or says why it is not drawn."""
    if not rows:
        return paragraph("metrics.jsonl has no row that can be drawn.")
    try:
        curve = curve_of(rows, "episode_return")
    except UsageError:
        return paragraph("No episode has ended in every seed, so there is no return to draw.")
    figure = curves_figure([curve], "episode_return")
    notes = "".join(paragraph(note, "soft") for note in curve.notes)
    return picture(figures(figure, f"Return of training episodes, {title}", 5.2, 3.3)) + notes
