"""What a report says in words and tables."""

import dataclasses
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._checkpoints import Checkpoints
from ._configuration import UsageError
from ._evaluation import Evaluation
from ._html import code, escaped, paragraph, section, table
from ._manifest import read_manifest
from ._named_runs import NamedRun
from ._report_configuration import command_of
from ._statistics import bootstrap_interval, interquartile_mean


@dataclasses.dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        kind: `finished`, `interrupted`, `failed` or `running`.
        text: The same for readers.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, run: NamedRun) -> "State":
        """Reads that of a run."""
        try:
            status = run.folder.read_status()
            kind, steps, total = str(status["state"]), int(status["steps"]), int(status["of"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls("running", "status.json is not there or cannot be read: the run has hardly begun")
        far = f"{steps:,} of {total:,} environment steps of each seed"
        if kind == "failed":
            return cls(kind, f"{far}; {status.get('error') or 'no error is known'}")
        if kind == "interrupted":
            return cls(kind, f"stopped at {far}")
        if kind == "finished":
            return cls(kind, far)
        written = time.strftime("%Y-%m-%d %H:%M", time.localtime(_last_written(run.folder.path)))
        return cls("running", f"{far}; last written to {written}. A run that was killed says running too")


def header(title: str, path: Path, state: State) -> str:
    """Returns what stands at the top of a page."""
    badge = f'<span class="state {escaped(state.kind)}">{escaped(state.kind)}</span>'
    made = time.strftime("%Y-%m-%d %H:%M")
    return (
        f"<h1>{escaped(title)}</h1>\n<p>{badge} {escaped(state.text)}</p>\n"
        f'<p class="soft">{escaped(path)} · page made {made}</p>\n'
    )


def returns(evaluation: Evaluation | None) -> str:
    """Returns the final evaluation: one figure large, the statistics, each seed."""
    if evaluation is None:
        return section("Final return", paragraph("There is none yet: agents are evaluated when training has ended."))
    means = np.array(evaluation.seed_means)
    episodes = f"{evaluation.episodes:,} episodes a seed"
    policy = "sampled" if evaluation.sampled else "the policy's mode"
    below = f"{episodes}, {policy}, key {evaluation.key}"
    if evaluation.unfinished:
        below += f"; {evaluation.unfinished} episodes did not end and count as far as they came"
    figure = f'<p class="big">{escaped(number(evaluation.mean))}</p>\n{paragraph(f"mean return; {below}", "soft")}'
    if evaluation.seeds == 1:
        text = (
            f"One seed, so there is no interval over seeds. Over its episodes the 95 % interval of the mean is "
            f"{interval(evaluation.low, evaluation.high)}; it says nothing about other seeds."
        )
        return section("Final return", figure, paragraph(text))
    statistics = [
        (name, number(float(statistic(means))), interval(*bootstrap_interval(means, statistic=statistic)))
        for name, statistic in (("mean", np.mean), ("interquartile mean", interquartile_mean))
    ]
    return section(
        "Final return",
        figure,
        '<div class="beside">',
        table(["over seeds", "return", "95 % interval"], statistics, numbers=2),
        seed_table(evaluation.seed_means),
        "</div>",
    )


def seed_table(means: Sequence[float]) -> str:
    """Returns the mean return of each seed, folded where there are many."""
    found = table(["seed", "mean return"], [(str(seed), number(mean)) for seed, mean in enumerate(means)], numbers=1)
    return found if len(means) <= 10 else f"<details><summary>each of {len(means)} seeds</summary>{found}</details>\n"


def carried_out(run: NamedRun, content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Returns how the run was made: command, duration, device, versions."""
    facts = []
    seconds = duration(rows)
    if rows:
        steps = sum(max(row["step"] for row in rows if row["seed"] == seed) for seed in {row["seed"] for row in rows})
        rate = f", {steps / seconds:,.0f} environment steps a second over all seeds" if seconds > 0 else ""
        facts.append(("training took", f"{clock(seconds)}{rate}"))
    facts.append(("device", str(content.get("device", "not known"))))
    versions = content.get("versions")
    for name, version in versions.items() if isinstance(versions, dict) else ():
        facts.append((str(name), str(version)))
    return section(
        "How it was made", code(command_of(run.configuration, content.get("settings"))), table(["", ""], facts)
    )


def checkpoints(run: NamedRun, state: State) -> str:
    """Lists the checkpoints, without comparing their files, and says how to go on."""
    path = run.folder.path
    rows = []
    for folder in Checkpoints(path / "checkpoints", run.configuration.digest).whole():
        try:
            progress = read_manifest(folder)["progress"]
            rows.append((folder.name, f"{progress['steps']:,}", number(progress["episode_return"])))
        except (UsageError, KeyError, TypeError, ValueError) as error:
            rows.append((folder.name, "damaged", str(error)))
    body = table(["folder", "environment steps", "return of training"], rows, numbers=2) if rows else ""
    if not rows:
        body = paragraph("There are none.")
    if state.kind != "finished":
        how = f"bellmax resume {shlex.quote(str(path))}" if rows else f"bellmax train ... --out {path} --replace"
        words = "It goes on from the newest:" if rows else "Nothing to go on from: it can only be trained anew."
        body += paragraph(words) + (code(how) if rows else "")
    return section("Checkpoints", body)


def afterwards(run: NamedRun) -> str:
    """Says how to use the agent."""
    path = str(run.folder.path)
    shell = "\n".join(f"bellmax {word} {shlex.quote(path)}" for word in ("evaluate", "render", "plot"))
    python = f"from bellmax.experiment import load_agent\n\nagent = load_agent({path!r})"
    if not any((run.folder.path / name).is_dir() for name in ("agent", "checkpoints")):
        return section("The agent", paragraph("The run has not come to its first save, so there is no agent yet."))
    return section("The agent", code(python), code(shell))


def duration(rows: Sequence[dict[str, Any]]) -> float:
    """Returns the seconds of training; where seeds ran one after another, of all of them together."""
    total = before = 0.0
    for now in (float(row.get("seconds") or 0.0) for row in rows):
        total += before if now < before else 0.0
        before = now
    return total + before


def clock(seconds: float) -> str:
    """Writes a duration."""
    minutes, hours = divmod(round(seconds), 60)[0], round(seconds) // 3600
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {round(seconds) % 60} s"


def number(value: float | None) -> str:
    """Writes a return; one that is not a number is said to be none."""
    if value is None or not np.isfinite(value):
        return "not a number"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """Writes an interval."""
    return f"{number(low)} to {number(high)}"


def _last_written(path: Path) -> float:
    """Returns when a run last wrote, in seconds since 1970."""
    names = ("metrics.jsonl", "status.json", "config.json")
    return max((each.stat().st_mtime for each in (path / name for name in names) if each.exists()), default=0.0)
