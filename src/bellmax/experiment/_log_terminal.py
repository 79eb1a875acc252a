"""Rows as a table on the terminal."""

import itertools
import math
import shutil
import sys
from typing import final

from ._log import LoggedRun
from ._metrics_file import Row

_LINES_BETWEEN_HEADERS = 20
_BETWEEN = "  "
_WIDTHS = {"step": 12, "seed": 4, "seconds": 8, "episodes": 8}


@final
class TerminalLogger:
    """Prints a line a point to the standard error: the summary, or of seeds that train one after another each row.

    As many metrics are shown as the terminal is wide; all, if it is none. The progress bar stays below.
    """

    def start(self, run: LoggedRun) -> None:
        """Begins with a header."""
        self._lines, self._seeds = 0, run.configuration.seeds

    def write(self, rows: list[Row]) -> None:
        """Prints the last of the rows."""
        row = rows[-1]
        names = self._names(row)
        header = self._lines % _LINES_BETWEEN_HEADERS == 0
        self._lines += 1
        for texts in [names] * header + [[_text(name, row[name]) for name in names]]:
            line = _BETWEEN.join(f"{text:>{_width(name)}}" for name, text in zip(names, texts, strict=True))
            print(line, file=sys.stderr)

    def close(self) -> None:
        """Leaves the table as it is."""

    def _names(self, row: Row) -> list[str]:
        """Returns the names of the columns that there is room for."""
        first = ["step", "seconds", "episodes", "episode_return"]
        if self._seeds > 1:
            first[1:1] = [] if row["seed"] is None else ["seed"]
            first += [name for name in row if name.startswith("episode_return_")]
        names = first + [name for name in row if not name.startswith(("seed", "episode_return")) and name not in first]
        left = shutil.get_terminal_size().columns if sys.stderr.isatty() else math.inf
        shown = itertools.takewhile(
            lambda end: end <= left, itertools.accumulate(_width(name) + len(_BETWEEN) for name in names)
        )
        return names[: len(list(shown))]


def _width(name: str) -> int:
    return _WIDTHS.get(name, max(len(name), 9))


def _text(name: str, value: int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if name in _WIDTHS else f"{value:.4g}"
