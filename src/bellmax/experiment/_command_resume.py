"""`bellmax resume`."""

import dataclasses
from pathlib import Path

from ._command_train import report
from ._configuration import UsageError
from ._flags import parse, positional, switch
from ._resume import resume_run


def resume(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    options, more = parse(_options(), flags, "bellmax resume RUN")
    names += more
    if len(names) != 1:
        raise UsageError(f"resume needs one run folder; got {len(names)}")
    return report(resume_run(names[0], last_good=options.last_good), Path(names[0]))


def _options() -> type:
    """Makes the flags of `resume`."""
    flags = [switch("last_good", "Where the newest checkpoint is damaged, go on from the newest that is whole.")]
    description = (
        "Goes on with a run that was killed or interrupted, from its last checkpoint, with the same configuration. It "
        "ends with the same numbers as if it had never stopped. A run that is finished is only reported."
    )
    return dataclasses.make_dataclass("ResumeOptions", flags, namespace={"__doc__": description})
