"""What trains the seeds of a run: compiled and side by side, or outside JAX and one after another."""

import abc
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._core import Mean
from ..training import Local, Parallel, Trainer, TrainState, assert_replicated
from ._compile import compiled
from ._host_loop import HostLoop
from ._host_trainer import OUTSIDE, HostTrainer
from ._settings import Settings


class AbstractDriver(abc.ABC):
    """Trains some seeds; a context manager.

    Attributes:
        seeds: Which seeds of the run.
    """

    seeds: list[int]

    @abc.abstractmethod
    def __enter__(self) -> "AbstractDriver":
        """Compiles, and starts what it needs."""

    @abc.abstractmethod
    def __exit__(self, *_) -> None:
        """Ends what it started."""

    @abc.abstractmethod
    def advance(self, calls: int) -> None:
        """Takes a number of trainer steps; returns when they are over."""

    @abc.abstractmethod
    def take_metrics(self) -> dict[str, Mean]:
        """Returns the metrics since this was last called, as NumPy arrays with a leading axis of seeds."""

    @property
    @abc.abstractmethod
    def state(self) -> TrainState:
        """The state after the last step, with a leading axis of seeds; outside JAX without its `local` half."""

    @property
    def saved(self) -> Any:
        """All that it needs to go on, as a tree of arrays; outside JAX that cannot be kept."""
        raise NotImplementedError

    def restore(self, load: Callable[[Any], Any]) -> None:
        """Goes on from where another stopped.

        Args:
            load: Takes `saved` as a tree of `jax.ShapeDtypeStruct`s with shardings, and returns the arrays.
        """
        raise NotImplementedError


def drivers_of(
    trainer: Parallel | HostTrainer, keys: Key[Array, " seeds"], settings: Settings
) -> Iterator[AbstractDriver]:
    """Yields what trains the seeds, in their order."""
    if isinstance(trainer, Parallel):
        yield Compiled(trainer, keys, settings.check_replicas)
    else:
        for seed in range(len(keys)):
            yield _Host(trainer, seed, keys[seed])


def join_states(trainer: Trainer | HostTrainer, states: list[TrainState], keys: Key[Array, " seeds"]) -> TrainState:
    """Puts the states of all drivers together; seeds that never began have their first.

    Args:
        trainer: What made them.
        states: One a driver, in order; the last drivers may lack.
        keys: One a seed.

    Returns:
        The state, every leaf with a leading axis of seeds; outside JAX without its `local` half.
    """
    if isinstance(trainer, Trainer):
        return states[0]
    known = sum(len(state.shared.key) for state in states)
    first = compiled(jax.vmap(lambda key: trainer.init(key).shared))
    fresh = [first(keys[seed : seed + 1]) for seed in range(known, len(keys))]
    shared = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *[state.shared for state in states], *fresh)
    return TrainState(shared, Local(OUTSIDE))


class Compiled(AbstractDriver):
    """All seeds in one compiled program, on one device or spread over several.

    With knobs each seed has hyperparameters of its own. It may be entered again, after `begin_with` others: the program
    stays compiled.
    """

    def __init__(
        self, parallel: Parallel, keys: Key[Array, " seeds"], check_replicas: int, knobs: PyTree[Array] | None = None
    ):
        self.seeds = list(range(len(keys)))
        self._parallel, self._chunk = parallel, None
        self._check_every, self._unchecked = check_replicas, 0
        self.begin_with(keys, knobs)

    def begin_with(self, keys: Key[Array, " seeds"], knobs: PyTree[Array] | None) -> None:
        """Says what to begin with when this is entered; as many as before."""
        self._keys, self._knobs = keys, knobs
        self._state: Any = None  # what another state leaves is free before the next one is made
        self._metrics: Any = None

    def __enter__(self):
        self._state = self._parallel.init(self._keys, self._knobs)
        self._metrics = self._parallel.no_metrics(self._state)
        self.take_metrics()  # compiles it
        if self._chunk is None:
            self._chunk = self._parallel.lower(self._state, self._metrics).compile()
        return self

    def __exit__(self, *_):
        pass

    def advance(self, calls):
        assert self._chunk is not None
        while calls > 0:
            piece = min(calls, self._check_every - self._unchecked) if self._check_every else calls
            self._state, self._metrics = self._chunk(self._state, piece, self._metrics)
            self._metrics["episode_return"].weight.block_until_ready()  # of one program: all else is there too
            calls, self._unchecked = calls - piece, self._unchecked + piece
            if self._unchecked == self._check_every:
                self._unchecked = 0
                if self._parallel.spread == "lanes":
                    assert_replicated(self._state.shared)

    def take_metrics(self):
        metrics, self._metrics = self._parallel.on_host(self._metrics), self._parallel.no_metrics(self._state)
        return metrics

    @property
    def state(self):
        return self._state

    @property
    def saved(self):
        return {"state": self._state, "metrics": self._metrics}

    def restore(self, load):
        wanted = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), self.saved
        )
        del self._state, self._metrics  # a replay memory may not fit twice
        self._state, self._metrics = map(load(wanted).__getitem__, ("state", "metrics"))


class _Host(AbstractDriver):
    """One seed on environments outside JAX."""

    def __init__(self, trainer: HostTrainer, seed: int, key: Key[Array, ""]):
        self.seeds, self._loop = [seed], None
        self._trainer, self._key = trainer, key

    def __enter__(self):
        self._loop = HostLoop(self._trainer, self._key)
        return self

    def __exit__(self, *_):
        self._started.close()

    def advance(self, calls):
        for _ in range(calls):
            self._started.step()

    def take_metrics(self):
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], self._started.take_metrics())

    @property
    def state(self):
        return TrainState(jax.tree.map(lambda leaf: leaf[None], self._started.state.shared), Local(OUTSIDE))

    @property
    def _started(self) -> HostLoop:
        assert self._loop is not None
        return self._loop
