"""Rows of metrics, as text."""

import json
from pathlib import Path
from typing import Any

from ._configuration import UsageError


def parse_rows(text: str, path: Path) -> list[dict[str, Any]]:
    """Reads rows of metrics; a last line that was torn when a process was killed is left out.

    Args:
        text: One JSON object a line.
        path: Where it is from, for messages.

    Raises:
        UsageError: If another line is no row.
    """
    lines, rows = text.splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            _ = row["step"], row["seed"]
        except (ValueError, KeyError, TypeError):
            if number == len(lines) and not text.endswith("\n"):
                break
            raise UsageError(
                f"{path} is damaged: line {number} is {line[:40]!r}, not a row of metrics; "
                f"`bellmax resume {path.parent}` goes on from before it, if the run has a checkpoint"
            ) from None
        rows.append(row)
    return rows
