"""What asks a run to stop."""

import contextlib
import dataclasses
import signal
from collections.abc import Iterator


@dataclasses.dataclass
class Interruption:
    """Whether the user, or the machine, asked to stop, and by which signal."""

    signal: int | None = None


_OPEN: list[Interruption] = []
"""All that are waited for: what stops a run stops the sweep around it too."""


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turns the first SIGINT or SIGTERM into a wish; the second SIGINT is Python's own again."""
    interruption = Interruption()
    _OPEN.append(interruption)

    def on_signal(number, _):
        for each in _OPEN:
            each.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may set handlers
        before = {}
    try:
        yield interruption
    finally:
        _OPEN.pop()
        for number, handler in before.items():
            signal.signal(number, handler)
