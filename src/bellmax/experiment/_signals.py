"""What asks a run to stop."""

import contextlib
import dataclasses
import signal
from collections.abc import Iterator


@dataclasses.dataclass
class Interruption:
    """Whether the user, or the machine, asked to stop, and by which signal."""

    signal: int | None = None


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns the first SIGINT or SIGTERM into a wish; the second SIGINT is Python's own again."""
    interruption = Interruption()

    def on_signal(number, _):
        interruption.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may set handlers
        before = {}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
