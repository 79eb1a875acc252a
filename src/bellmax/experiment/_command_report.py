"""`bellmax report`."""

import dataclasses

from ._configuration import UsageError
from ._flags import flag, of_one_run, switch
from ._report import write_report


def report(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    run, options = of_one_run("report", report_options(), words)
    if options.out is not None and not options.out.endswith((".html", ".htm")):
        raise UsageError(f"--out must end in .html; got {options.out}")
    if options.seed < 0:
        raise UsageError(f"seed must be at least 0; got {options.seed}")
    print(write_report(run, options.out, seed=options.seed, film=not options.no_film))
    return 0


def report_options() -> type:
    """Makes the flags of `report`."""
    flags = [
        flag("out", str | None, None, "Where to, an .html file; without it report.html in the run's folder."),
        flag("seed", int, 0, "Which of the run's seeds plays the episode that is shown."),
        switch("no_film", "Play no episode: drawing one takes seconds."),
    ]
    description = (
        "Writes one page about a run, or a sweep: state, final returns, curves, an episode, configuration, "
        "checkpoints, how to go on. It needs no network and holds no script. "
        "A run that goes on, was killed or failed has one too."
    )
    return dataclasses.make_dataclass("ReportOptions", flags, namespace={"__doc__": description})
