"""What a check of an environment found, as a person and a program read it."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

Outcome = Literal["passed", "failed", "warning", "not applicable"]
Check = Callable[[Any], "str | tuple[Outcome, str]"]
"""Takes the subject; returns what was seen, or an outcome other than `passed` and what to do."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: Name of the check.
        outcome: `warning` is for what may be meant, such as a first state that is always the same.
        detail: One line: what was seen, and what to do where it is wrong.
    """

    check: str
    outcome: Outcome
    detail: str


@dataclasses.dataclass(frozen=True)
class Report:
    """What all checks of one environment found.

    Attributes:
        environment: Its name, or its description.
        findings: One a check, in the order in which they ran.
    """

    environment: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings are allowed."""
        return all(finding.outcome != "failed" for finding in self.findings)

    def __str__(self) -> str:
        counts = {outcome: 0 for outcome in ("passed", "failed", "warning", "not applicable")}
        for finding in self.findings:
            counts[finding.outcome] += 1
        summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        width = max((len(finding.check) for finding in self.findings), default=0)
        lines = [f"{each.outcome:<14}  {each.check:<{width}}  {each.detail}" for each in self.findings]
        return "\n".join([f"{self.environment}: {summary}", *lines])


def run_checks(subject: Any, first: dict[str, Check], rest: dict[str, Check]) -> Iterator[Finding]:
    """Runs the first checks until one fails, and the rest only if all of them hold.

    What an environment raises is a finding, too.
    """
    broken = ""
    for name, check in (first | rest).items():
        if broken:
            yield Finding(name, "not applicable", f"waits until `{broken}` holds")
            continue
        finding = _run(name, check, subject)
        if name in first and finding.outcome == "failed":
            broken = name
        yield finding


def _run(name: str, check: Check, subject: Any) -> Finding:
    try:
        found = check(subject)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return Finding(name, "failed", f"raised {type(error).__name__}: {lines[0]}"[:400])
    outcome, detail = ("passed", found) if isinstance(found, str) else found
    return Finding(name, outcome, " ".join(detail.split()))


def count_ends(
    terminated: np.ndarray, truncated: np.ndarray, steps: int, lengths: str = ""
) -> str | tuple[Outcome, str]:
    """Says how the episodes of a rollout ended; warns if none did.

    Args:
        terminated: Flags of all steps.
        truncated: Likewise.
        steps: How many steps were taken.
        lengths: What is known of the episodes' lengths, with a space before it.
    """
    if not (terminated | truncated).any():
        return "warning", (
            f"no episode ended within {steps} steps: training would never see a return; if there should be a "
            "time limit, set `truncated` at it, or look at more steps"
        )
    return (
        f"{(terminated | truncated).sum()} episodes{lengths}: {(terminated & ~truncated).sum()} terminated, "
        f"{(truncated & ~terminated).sum()} truncated, {(terminated & truncated).sum()} both at once"
    )
