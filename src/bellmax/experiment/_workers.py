"""Environments in processes of their own."""

import atexit
import contextlib
import itertools
import multiprocessing
import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ..envs import (
    AbstractHostEnvironment,
    AbstractHostVectorEnv,
    HostEnvironmentError,
    HostStep,
    lane_seeds,
)
from ..envs._serve import serve_lanes

_STEP_TIMEOUT = 60.0
"""Seconds that a step or a reset of one worker may take."""
_START_TIMEOUT = 180.0
"""Seconds in which a worker must have imported its packages and made its environments."""
_LAST_SECONDS = 2.0
"""How long a worker may take to end by itself."""


class WorkerError(HostEnvironmentError):
    """A process that steps environments died, hung or raised; where it raised, `remote` has its traceback."""

    def __init__(self, message: str, remote: str = ""):
        super().__init__(message)
        self.remote = remote


def open_lanes(environment: AbstractHostEnvironment, num_envs: int, workers: int) -> AbstractHostVectorEnv:
    """Makes lanes in this process, or in as many others as are asked for."""
    return WorkerLanes(environment, num_envs, workers) if workers else environment.start(num_envs)


class WorkerLanes(AbstractHostVectorEnv):
    """Lanes spread over processes, each of which steps a slice of them.

    The numbers do not depend on how many processes there are: every lane has the seed of its index. A process ends with
    this one, however this one ends.
    """

    def __init__(
        self,
        environment: AbstractHostEnvironment,
        num_envs: int,
        workers: int,
        *,
        step_timeout: float = _STEP_TIMEOUT,
        start_timeout: float = _START_TIMEOUT,
    ):
        """Starts the processes and their environments.

        Args:
            environment: What each process makes lanes of; it is pickled.
            num_envs: Number of lanes.
            workers: Number of processes, at most as many as lanes.
            step_timeout: Seconds that a step may take before its worker counts as hung.
            start_timeout: Seconds that the start may take.

        Raises:
            WorkerError: If a worker does not start.
            ValueError: If the environment does not pickle.
        """
        self.spaces, self.num_envs, self._timeout = environment.spaces, num_envs, step_timeout
        bounds = np.linspace(0, num_envs, workers + 1).astype(int).tolist()
        slices = [slice(first, last) for first, last in itertools.pairwise(bounds)]
        try:
            pickle.dumps(environment)
        except Exception as error:
            raise ValueError(
                f"{environment} must pickle to reach a worker process, so a factory must be a class or a function of a "
                f"module: {error}"
            ) from error
        self._workers: list[_Worker] = []
        atexit.register(self.close)  # before multiprocessing waits for processes that nothing else ends
        try:
            with _without_accelerators():
                for index, lanes in enumerate(slices):
                    self._workers.append(_Worker(index, lanes, environment))
            for worker in self._workers:
                worker.receive(start_timeout)
        except BaseException:
            self.close()
            raise

    def reset(self, *, seed: int | Sequence[int]) -> Any:
        """Starts an episode in every lane."""
        seeds = lane_seeds(seed, self.num_envs) if isinstance(seed, int) else list(seed)
        return self._ask("reset", [seeds[worker.lanes] for worker in self._workers])

    def step(self, action: Any) -> HostStep:
        """Takes one action in every lane; all processes step at once."""
        return self._ask("step", [_part(action, worker.lanes) for worker in self._workers])

    def close(self) -> None:
        """Ends the processes, by force where they do not end by themselves."""
        atexit.unregister(self.close)
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _ask(self, kind: str, contents: list[Any]) -> Any:
        """Asks every worker; after a fault all end, since an answer that is left over must not pass for the next."""
        if not self._workers:
            raise WorkerError("the environment workers have ended; start new ones")
        try:
            for worker, content in zip(self._workers, contents, strict=True):
                worker.send((kind, content))
            return _join([worker.receive(self._timeout) for worker in self._workers])
        except BaseException:
            self.close()
            raise


class _Worker:
    """One process and the lanes it steps."""

    def __init__(self, index: int, lanes: slice, environment: AbstractHostEnvironment):
        context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
        self.index, self.lanes = index, lanes
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=serve_lanes,
            args=(environment, lanes.stop - lanes.start, lanes.start, theirs),
            name=f"bellmax-worker-{index}",
            daemon=True,
        )
        self._process.start()
        theirs.close()  # so that a dead worker ends the pipe

    def send(self, message: tuple[str, Any]) -> None:
        try:
            self._connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
        except OSError:  # it died; what it last said, or how it ended, is read below
            self.receive(_LAST_SECONDS)
            raise self._ended() from None

    def receive(self, timeout: float) -> Any:
        """Waits for the answer."""
        if not self._connection.poll(timeout):
            raise WorkerError(f"{self} did not answer within {timeout:g} s")
        try:
            kind, content = pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._ended() from None
        if kind == "raised":
            message, remote = content
            raise WorkerError(f"{self} raised: {message}", remote)
        return content

    def hang_up(self) -> None:
        self._connection.close()

    def end(self) -> None:
        self._process.join(_LAST_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def __str__(self) -> str:
        first, last = self.lanes.start, self.lanes.stop - 1
        lanes = f"lanes {first} to {last}" if last > first else f"lane {first}"
        return f"environment worker {self.index} ({lanes}, pid {self._process.pid})"

    def _ended(self) -> WorkerError:
        self._process.join(_LAST_SECONDS)
        code = self._process.exitcode
        how = "closed its pipe" if code is None else f"ended with exit code {code}"
        return WorkerError(f"{self} {f'died with signal {-code}' if code is not None and code < 0 else how}")


@contextlib.contextmanager
def _without_accelerators() -> Iterator[None]:
    """Lets processes that start meanwhile leave accelerators alone, should they use JAX at all."""
    before = os.environ.get("JAX_PLATFORMS")
    os.environ["JAX_PLATFORMS"] = "cpu"
    try:
        yield
    finally:
        del os.environ["JAX_PLATFORMS"]
        if before is not None:
            os.environ["JAX_PLATFORMS"] = before


def _part(tree: Any, lanes: slice) -> Any:
    return tree[lanes] if isinstance(tree, np.ndarray) else jax.tree.map(lambda leaf: leaf[lanes], tree)


def _join(parts: list[Any]) -> Any:
    """Puts the lanes of all workers side by side."""
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
