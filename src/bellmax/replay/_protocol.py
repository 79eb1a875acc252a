"""What a replay memory is."""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ._store import Store


class ReplayState(eqx.Module):
    """What a replay memory holds of one lane.

    Attributes:
        store: The steps.
        priorities: What they are drawn by; None where all are alike. Updates change only this.
    """

    store: Store
    priorities: Any = None


class Sample(eqx.Module):
    """What was drawn.

    Attributes:
        items: The items, leading axis `sample`, of sequences `time sample`.
        slots: Where each example, or its first step, is.
        mask: Which steps are whole, with the items' leading axes; None if all are.
        chance: Probability of each example in a draw; None where all are alike.
    """

    items: PyTree[Array]
    slots: Int[Array, "*lanes sample"]
    mask: Bool[Array, "..."] | None = None
    chance: Float[Array, "*lanes sample"] | None = None


class AbstractReplay(eqx.Module):
    """A memory of the newest steps of one lane; `jax.vmap` over its methods makes one a lane."""

    capacity: eqx.AbstractVar[int]
    sample_size: eqx.AbstractVar[int]
    sequence_length: eqx.AbstractVar[int | None]
    final_capacity: eqx.AbstractVar[int | None]

    @abc.abstractmethod
    def init(self, example: PyTree[Array]) -> ReplayState:
        """Makes an empty memory for items like the example."""

    @abc.abstractmethod
    def add(self, state: ReplayState, items: PyTree[Array]) -> ReplayState:
        """Adds items with a leading time axis, the oldest first, which follow on those added before."""

    @abc.abstractmethod
    def sample(self, state: ReplayState, *, key: Key[Array, ""]) -> Sample:
        """Draws `sample_size` examples, with replacement; the memory must hold at least one."""

    @abc.abstractmethod
    def prioritise(self, state: ReplayState, sample: Sample, priority: Float[Array, " sample"] | None) -> ReplayState:
        """Gives drawn examples the priorities that an update found."""


def check_sizes(replay: AbstractReplay) -> None:
    """Raises ValueError where the sizes do not fit."""
    name = type(replay).__name__
    length = 1 if replay.sequence_length is None else replay.sequence_length
    if not 1 <= replay.sample_size <= replay.capacity:
        raise ValueError(f"{name}: capacity {replay.capacity} must hold at least one sample of {replay.sample_size}")
    if not 1 <= length <= replay.capacity:
        raise ValueError(f"{name}: sequence_length must be in [1, capacity {replay.capacity}]; got {length}")
    if replay.final_capacity is not None and replay.final_capacity < 1:
        raise ValueError(f"{name}: final_capacity must be at least 1; got {replay.final_capacity}")


def take(
    store: Store, slots: Int[Array, " sample"], sequence_length: int | None
) -> tuple[PyTree[Array], Bool[Array, "..."] | None]:
    """Reads single steps, or the sequences that begin in these slots; and which of their steps are whole."""
    if sequence_length is None:
        return store.take(slots)
    return store.take(store.following(slots, sequence_length))
