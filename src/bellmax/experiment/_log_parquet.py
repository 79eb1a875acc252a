"""Rows as a table on disk, in parts."""

import os
import time
from pathlib import Path
from typing import Any, final

from ._log import LoggedRun
from ._metrics_file import Row

FOLDER = "metrics.parquet"
_INTEGERS = ("step", "seed", "episodes")
_SECONDS_BETWEEN_PARTS = 5.0


@final
class ParquetLogger:
    """Writes `metrics.parquet/`, a folder of parts that readers of Parquet take as one table.

    A part is there whole or not at all, so whatever kills the process leaves a table that can be read. The first comes
    with the first rows; then one at most every five seconds, and one when the run ends.
    """

    def start(self, run: LoggedRun) -> None:
        """Makes the folder; drops the rows of a run that goes on which come again."""
        import pyarrow.parquet as parquet

        self._parquet, self._rows, self._next = parquet, [], 0.0
        self._folder = run.folder / FOLDER
        self._folder.mkdir(exist_ok=True)
        parts = sorted(self._folder.glob("part-*.parquet"))
        self._number = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0
        for part in parts:
            self._cut(part, run.after or 0)

    def write(self, rows: list[Row]) -> None:
        """Keeps the rows, and writes a part if it is time."""
        self._rows += rows
        if time.monotonic() >= self._next:
            self._write_part()

    def close(self) -> None:
        """Writes what is left."""
        self._write_part()

    def _write_part(self) -> None:
        if self._rows:
            import pyarrow

            table = pyarrow.Table.from_pylist(self._rows, schema=_schema(self._rows))
            self._replace(self._folder / f"part-{self._number:06}.parquet", table)
            self._rows, self._number = [], self._number + 1
            self._next = time.monotonic() + _SECONDS_BETWEEN_PARTS

    def _cut(self, part: Path, after: int) -> None:
        """Drops the rows of a part beyond a count of steps."""
        table = self._parquet.read_table(part)
        kept = [step.as_py() <= after for step in table["step"]]
        if not any(kept):
            part.unlink()
        elif not all(kept):
            self._replace(part, table.filter(kept))

    def _replace(self, part: Path, table: Any) -> None:
        """Writes a part whole or not at all; readers pass over names that begin with a dot."""
        temporary = part.with_name(".part.tmp")
        self._parquet.write_table(table, temporary)
        os.replace(temporary, part)


def _schema(rows: list[Row]) -> Any:
    """Returns the types of all fields that a row has: whole numbers, or float64."""
    import pyarrow

    names = dict.fromkeys(name for row in rows for name in row)
    types = {name: pyarrow.int64() if name in _INTEGERS else pyarrow.float64() for name in names}
    return pyarrow.schema(types.items())
