"""`metrics.jsonl`: rows that are added, and never lost while the process lives, and rows that are read."""

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

from ._configuration import UsageError

Row = dict[str, Any]
"""A seed at one point: `step`, `seed`, `seconds`, `episodes` and metrics by name, None where there is no value."""


class MetricsFile:
    """Adds lines to a file. What a full disk refuses is kept in memory and tried again with each later line."""

    def __init__(self, path: Path):
        self._path, self._refused, self._warned = path, "", False

    def append(self, lines: str = "") -> None:
        """Adds lines, whole or not at all; warns the first time that the disk refuses them."""
        lines, size = self._refused + lines, None
        if not lines:
            return
        content = lines.encode()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                if os.write(descriptor, content) < len(content):
                    raise OSError("the disk took a part only")
            finally:
                os.close(descriptor)
        except OSError as error:
            self._refused = lines
            if size is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self._path, size)
            self._warn(error)
        else:
            self._refused = ""

    def text(self) -> str:
        """Returns all lines, those that the disk refused too; nothing if there are none."""
        return (self._path.read_text(errors="replace") if self._path.exists() else "") + self._refused

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"rows could not be added to {self._path}: {error}; the run goes on, and tries again with each later "
                "row; those that are still refused when it ends are lost",
                stacklevel=4,
            )


def parse_rows(text: str, path: Path) -> list[Row]:
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
