"""Lanes for another process. It stands here so that a worker imports no more than the environments."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection, wait
from typing import Any

from ._host import AbstractHostEnvironment, HostEnvironmentError

_LAST_SECONDS = 2.0
"""How long a worker may take to end in order once its parent has died."""


def serve_lanes(environment: AbstractHostEnvironment, num_envs: int, first: int, connection: Connection) -> None:
    """Steps a slice of lanes for as long as it is asked to: the life of a worker process.

    It answers `("reset", seeds)` and `("step", action)` with `(kind, result)`, and with `("raised", (message,
    traceback))` where something raises; then, or when the other side hangs up or its process ends, it ends.

    Args:
        environment: What to make lanes of.
        num_envs: How many.
        first: Index of the first among the lanes of all workers.
        connection: To who asks.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lanes = None
    try:
        lanes = environment.start(num_envs)
        _answer(connection, "ready", None)
        while True:
            kind, content = pickle.loads(connection.recv_bytes())
            _answer(connection, kind, lanes.reset(seed=content) if kind == "reset" else lanes.step(content))
    except (EOFError, ConnectionError):  # the parent hung up
        pass
    except Exception as error:
        if isinstance(error, HostEnvironmentError) and error.lane is not None:
            error = HostEnvironmentError(error.reason, first + error.lane)
        with contextlib.suppress(OSError):
            _answer(connection, "raised", (str(error), traceback.format_exc()))
    finally:
        if lanes is not None:
            with contextlib.suppress(Exception):
                lanes.close()


def _answer(connection: Connection, kind: str, content: Any) -> None:
    connection.send_bytes(pickle.dumps((kind, content), pickle.HIGHEST_PROTOCOL))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    time.sleep(_LAST_SECONDS)  # the pipe has ended too, so what can end in order does
    os._exit(1)
