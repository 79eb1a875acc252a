"""Several processes, on one host or on many, that train one run together."""

import contextlib
import dataclasses
import faulthandler
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from ._configuration import UsageError

_HEARTBEAT, _START, _END = 30, 120, 30
"""Seconds after which a silent process counts as dead, in which all must come, and in which all must leave."""
_LONGEST = 200
"""Characters of a text that processes show each other."""


@dataclasses.dataclass(frozen=True)
class Hosts:
    """How the processes of a run find each other.

    Attributes:
        distributed: Whether SLURM, MPI, Kubernetes or a TPU pod knows; JAX asks it.
        coordinator: Otherwise, the address of process 0, as HOST:PORT.
        processes: Otherwise, how many there are.
        process_id: Otherwise, which of them this is, from 0.
    """

    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None

    def __post_init__(self):
        by_hand = (self.coordinator, self.processes, self.process_id)
        if self.distributed and any(each is not None for each in by_hand):
            raise UsageError("--distributed asks the cluster; it goes without --coordinator, --processes, --process-id")
        if any(each is None for each in by_hand) and any(each is not None for each in by_hand):
            raise UsageError("--coordinator HOST:PORT, --processes N and --process-id I belong together")
        if self.processes is not None and not 0 <= (self.process_id or 0) < self.processes:
            raise UsageError(f"process-id must be from 0 to {self.processes - 1}; got {self.process_id}")

    def join(self) -> None:
        """Waits until all processes are there; before JAX first touches a device. One process alone does nothing."""
        if not self.distributed and self.coordinator is None:
            return
        try:
            jax.distributed.initialize(
                self.coordinator,
                self.processes,
                self.process_id,
                initialization_timeout=_START,
                heartbeat_timeout_seconds=_HEARTBEAT,
                shutdown_timeout_seconds=_END,
            )
        except (ValueError, RuntimeError) as error:
            hint = "; outside a cluster, name --coordinator, --processes and --process-id" if self.distributed else ""
            raise UsageError(f"the processes did not find each other: {error}{hint}") from error
        _ = jax.devices()  # all of them: each process waits here for the others


def is_first() -> bool:
    """Tells whether this process is the one that writes."""
    return jax.process_index() == 0


def on_first(action: Callable[[], Any]) -> None:
    """Lets process 0 do something while the others wait; where it fails there, it fails everywhere."""
    error = None
    if is_first():
        try:
            action()
        except Exception as found:
            error = found
    failed = together(int(error is not None)).max() > 0
    if error is not None:
        raise error
    if failed:
        raise UsageError("process 0 could not begin; what it says is the reason")


def together(*numbers: int) -> np.ndarray:
    """Shows some whole numbers to all processes; returns those of all, with a leading axis of processes."""
    mine = np.asarray(numbers, np.int32)
    if jax.process_count() == 1:
        return mine[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(mine))


def agree(facts: dict[str, str]) -> None:
    """Refuses to go on if a process has other facts than process 0; every process then names the first that differs.

    Args:
        facts: What must be the same, by its name; the same names everywhere.
    """
    if jax.process_count() == 1:
        return
    for name, fact in facts.items():
        digest = np.frombuffer(hashlib.sha256(fact.encode()).digest(), np.int32)
        shown = np.frombuffer(fact.encode()[:_LONGEST].ljust(_LONGEST), np.uint8)
        digests, texts = together(*digest), together(*shown)
        for process in range(1, len(digests)):
            if (digests[process] != digests[0]).any():
                one, other = (bytes(texts[i].astype(np.uint8)).decode(errors="replace").strip() for i in (0, process))
                raise UsageError(f"process {process} has another {name} than process 0: {other} against {one}")


@functools.cache
def code() -> str:
    """Returns a hash of the library's source."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Ends the process, with what each of its threads was doing, if a piece of work takes longer; 0 for no limit.

    A process that hangs in a collective, since another is stuck, sends its heartbeats all the same: nothing else ends
    it.
    """
    if seconds > 0:
        faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        if seconds > 0:
            faulthandler.cancel_dump_traceback_later()


def explain(error: Exception) -> str:
    """Says what an error that ended one of several processes means."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return "another process has died or cannot be reached, or a device failed (above); `bellmax resume` goes on"
    return repr(error)


def leave(code: int) -> NoReturn:
    """Ends this process at once, without waiting for the others: they learn of it by their own errors."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
