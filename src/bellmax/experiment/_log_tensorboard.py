"""Rows as event files for TensorBoard."""

import time
from typing import Any, final

from ._folder import Row
from ._log import LoggedRun

FOLDER = "tensorboard"


@final
class TensorBoardLogger:
    """Writes `tensorboard/`: the summary, and where there are several seeds each in a folder of its own.

    Under one name the curves of all seeds then share a chart. Events are written in the thread that trains:
    `tensorboardX.SummaryWriter` gives them to a thread that dies of a full disk in silence, and then waits for it for
    ever.
    """

    def start(self, run: LoggedRun) -> None:
        """Notes where to write; files are made with the first row."""
        self._folder, self._after, self._seeds = run.folder / FOLDER, run.after, run.configuration.seeds
        self._writers: dict[int | None, Any] = {}

    def write(self, rows: list[Row]) -> None:
        """Writes an event a row."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        for row in rows:
            if row["seed"] is not None and self._seeds == 1:
                continue  # the summary says the same
            figures = {name: value for name, value in row.items() if name not in ("step", "seed") and value is not None}
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in figures.items()])
            writer = self._writer(row["seed"])
            writer.write_event(Event(wall_time=time.time(), step=row["step"], summary=summary))
            writer.flush()

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, seed: int | None) -> Any:
        """Returns the writer of a seed, or of the summary; a run that goes on hides the rows that come again."""
        if seed not in self._writers:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog

            folder = self._folder if seed is None else self._folder / f"seed-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            # Else a run that goes on within the second would write over the file that is there.
            suffix = f".{len(list(folder.glob('events.*')))}"
            self._writers[seed] = writer = EventsWriter(str(folder / "events"), suffix)
            if self._after is not None:
                start = SessionLog(status=SessionLog.START)
                writer.write_event(Event(wall_time=time.time(), step=self._after + 1, session_log=start))
        return self._writers[seed]
