"""`bellmax resume`."""

import dataclasses
from pathlib import Path

from ._command_train import log_flag, report
from ._configuration import UsageError
from ._flags import device_flags, join_hosts, parse, positional, switch
from ._folder import RunFolder
from ._resume import resume_run
from ._settings import DEVICES, Settings


def resume(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    join_hosts(flags)
    names += parse(resume_options(Settings()), flags, "bellmax resume RUN")[1]
    if len(names) != 1:
        raise UsageError(f"resume needs one run folder; got {len(names)}")
    run = Path(names[0])
    options = parse(resume_options(RunFolder(run).settings()), flags, "bellmax resume RUN")[0]
    return report(resume_run(run, **{name: getattr(options, name) for name in ("last_good", "log", *DEVICES)}), run)


def resume_options(now: Settings) -> type:
    """Makes the flags of `resume`."""
    last_good = "Where the newest checkpoint is damaged, go on from the newest that is whole."
    flags = [switch("last_good", last_good), log_flag(now.log), *device_flags(now)]
    description = (
        "Goes on with a run that was killed or interrupted, from its last checkpoint, with the same configuration. It "
        "ends with the same numbers as if it had never stopped, to rounding on other devices. A run that is "
        "finished is only reported."
    )
    return dataclasses.make_dataclass("ResumeOptions", flags, namespace={"__doc__": description})
