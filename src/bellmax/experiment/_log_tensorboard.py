"""Rows as event files for TensorBoard."""

import contextlib
import socket
import time
from typing import Any, final

from ._log import LoggedRun
from ._metrics_file import Row

FOLDER = "tensorboard"
_SECONDS_BETWEEN_FLUSHES = 5.0
"""A flush waits for the disk, milliseconds a file."""


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
        self._next = 0.0

    def write(self, rows: list[Row]) -> None:
        """Writes an event a row."""
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        for row in rows:
            if row["seed"] is not None and self._seeds == 1:
                continue  # the summary says the same
            figures = {name: value for name, value in row.items() if name not in ("step", "seed") and value is not None}
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in figures.items()])
            self._writer(row["seed"]).write(_event(step=row["step"], summary=summary))
        if time.monotonic() >= self._next:
            for writer in self._writers.values():
                writer.flush()
            self._next = time.monotonic() + _SECONDS_BETWEEN_FLUSHES

    def close(self) -> None:
        """Closes the files."""
        with contextlib.ExitStack() as stack:
            for writer in self._writers.values():
                stack.callback(writer.close)

    def _writer(self, seed: int | None) -> Any:
        """Returns the writer of a seed, or of the summary; a run that goes on hides the rows that come again."""
        if seed not in self._writers:
            from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore[reportAttributeAccessIssue]
            from tensorboardX.record_writer import RecordWriter

            folder = self._folder if seed is None else self._folder / f"seed-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            # The count keeps a run that goes on within the second from writing over the file that is there.
            name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{len(list(folder.glob('events.*')))}"
            self._writers[seed] = writer = RecordWriter(str(folder / name))
            writer.write(_event(file_version="brain.Event:2"))
            if self._after is not None:
                writer.write(_event(step=self._after + 1, session_log=SessionLog(status=SessionLog.START)))
        return self._writers[seed]


def _event(**fields: Any) -> bytes:
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    return Event(wall_time=time.time(), **fields).SerializeToString()
