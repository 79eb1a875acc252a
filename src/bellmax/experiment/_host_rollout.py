"""Transitions of environments outside JAX, gathered into arrays."""

from typing import Any

import jax
import numpy as np


class Rollout:
    """The transitions of one rollout, `time lanes`, in arrays of its own: what learns from them may take its time.

    Where every step of every lane is a transition, time is the step. Where some are not, each lane fills its own column
    and what the fuller ones do meanwhile is left out, and not counted.

    Attributes:
        filled: Transitions of each lane so far.
        left_out: Which lanes went on after their last transition here: the next rollout does not begin where it led.
    """

    def __init__(self, length: int, lanes: int):
        """Begins a rollout.

        Args:
            length: Transitions of each lane.
            lanes: How many lanes.
        """
        self._length, self._lanes = length, lanes
        self._treedefs: list[Any] = []
        self._columns: list[list[np.ndarray]] | None = None
        self.filled, self.left_out = np.zeros(lanes, int), np.zeros(lanes, bool)
        self._time = 0

    @property
    def full(self) -> bool:
        """Whether every lane has its transitions."""
        return (self._time if self._time >= 0 else int(self.filled.min())) == self._length

    def add(self, fields: tuple[Any, ...], valid: np.ndarray) -> None:
        """Adds one step of all lanes.

        Args:
            fields: Trees of arrays with a leading axis of lanes, always of the same structure.
            valid: Which lanes made a transition.
        """
        leaves = list(map(_leaves, fields))
        if self._columns is None:
            self._treedefs = [jax.tree.structure(field) for field in fields]
            shape = (self._length, self._lanes)
            self._columns = [[np.empty((*shape, *leaf.shape[1:]), leaf.dtype) for leaf in field] for field in leaves]
        if self._time >= 0 and np.count_nonzero(valid) == self._lanes:
            for columns, field in zip(self._columns, leaves, strict=True):
                for column, leaf in zip(columns, field, strict=True):
                    column[self._time] = leaf
            self._time += 1
            return
        if self._time >= 0:  # the first step that some lanes do not have
            self.filled, self._time = np.full(self._lanes, self._time), -1
        self.left_out |= valid & (self.filled == self._length)
        (lanes,) = np.nonzero(valid & (self.filled < self._length))
        for columns, field in zip(self._columns, leaves, strict=True):
            for column, leaf in zip(columns, field, strict=True):
                column[self.filled[lanes], lanes] = np.asarray(leaf)[lanes]
        self.filled[lanes] += 1

    @property
    def unfilled(self) -> np.ndarray:
        """Which lanes have no transition yet."""
        return self.filled == 0 if self._time < 0 else np.full(self._lanes, self._time == 0)

    def fields(self) -> tuple[Any, ...]:
        """Returns the transitions."""
        assert self._columns is not None
        return tuple(map(jax.tree.unflatten, self._treedefs, self._columns))


def _leaves(tree: Any) -> list[np.ndarray]:
    if isinstance(tree, np.ndarray):
        return [tree]
    return [] if tree is None else jax.tree.leaves(tree)
