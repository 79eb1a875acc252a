"""A ring of steps in which no observation need be kept twice."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree, UInt32

from .._core import Transition
from ._layout import Layout

_SMALL = 1024
"""Observations of at most as many bytes are kept with both steps that see them."""

_SHARE_OF_FINALS = 8
"""How many steps there are to a final observation, where those have a ring of their own."""


class Finals(eqx.Module):
    """Where the final observations of episodes are, which no later step sees.

    Attributes:
        of_slot: The final observation of each slot in which an episode ended.
        owner: The slot that each final observation belongs to.
        position: Where the next one goes.
    """

    of_slot: Int[Array, "*lanes slots"]
    owner: Int[Array, "*lanes finals"]
    position: Int[Array, "*lanes"]


class Store(eqx.Module):
    """The newest steps of one lane, in the order in which they came.

    One slot more than there are steps: the free slot, at `position`. Without `finals` a row is all that belongs to a
    step. With them a row is a transition without its observations: those are kept apart, once each, that of a step in
    its own slot, the successor of the newest step in the free slot, and final observations behind all slots.

    Attributes:
        rows: One a slot, as the layout says.
        position: The free slot, for the next step.
        count: How many steps there are.
        layout: How an item lies in a row.
        observations: Of all slots, then of the ends of episodes; None where they are in the rows.
        finals: Where the final observations are; None where a row has both observations.
    """

    rows: UInt32[Array, "*lanes slots words"]
    position: Int[Array, "*lanes"]
    count: Int[Array, "*lanes"]
    layout: Layout = eqx.field(static=True)
    observations: PyTree[Array] = None
    finals: Finals | None = None

    @staticmethod
    def empty(example: PyTree[Array], capacity: int, final_capacity: int | None) -> "Store":
        """Makes room for items like the example; None for as many final observations as their size suggests."""
        slots, zero = capacity + 1, jnp.zeros((), jnp.int32)
        if final_capacity is None and _observation_size(example) > _SMALL:
            final_capacity = max(capacity // _SHARE_OF_FINALS, 1)
        observations = finals = None
        if final_capacity is not None:
            if not isinstance(example, Transition):
                raise TypeError(f"only transitions have final observations; got items of {type(example).__name__}")
            observations = jax.tree.map(
                lambda leaf: jnp.zeros((slots + final_capacity, *leaf.shape), leaf.dtype), example.observation
            )
            finals = Finals(jnp.zeros(slots, jnp.int32), jnp.zeros(final_capacity, jnp.int32), zero)
            example = _bare(example)
        layout = Layout.of(example)
        return Store(jnp.zeros((slots, layout.words), jnp.uint32), zero, zero, layout, observations, finals)

    def slots_from(self, offset: Int[Array, "*some"]) -> Int[Array, "*some"]:
        """Returns slots by their distance from the free slot, from minus to plus their number."""
        return _wrapped(self.position + offset, self.rows.shape[0])

    def following(self, slots: Int[Array, " some"], length: int) -> Int[Array, "time some"]:
        """Returns these slots and those after them, along a leading time axis."""
        return _wrapped(slots[None] + jnp.arange(length)[:, None], self.rows.shape[0])

    def with_steps(self, items: Any, capacity: int) -> "Store":
        """Adds steps with a leading time axis, over the oldest."""
        length = jax.tree.leaves(items)[0].shape[0]
        if length > capacity:
            raise ValueError(f"{length} steps at once do not fit into a replay of {capacity}")
        slots = self.slots_from(jnp.arange(length))
        position = self.slots_from(jnp.asarray(length, jnp.int32))
        count = jnp.minimum(self.count + length, capacity)
        observations, finals = self.observations, self.finals
        if finals is not None:
            finals, final_rows = self._with_finals(items.terminated | items.truncated, slots)
            # One scatter for all: several in a row would make XLA copy what may be the memory of the machine.
            rows = jnp.concatenate([slots, position[None], final_rows])

            def observed(leaf, observation, following):
                new = jnp.concatenate([observation, following[-1:], following])
                return leaf.at[rows].set(new, mode="drop")

            observations = jax.tree.map(observed, observations, items.observation, items.next_observation)
            items = _bare(items)
        packed = self.layout.pack(items)
        packed = self.rows.at[slots].set(packed, mode="promise_in_bounds", unique_indices=True)
        return Store(packed, position, count, self.layout, observations, finals)

    def take(self, slots: Int[Array, "*some"]) -> tuple[Any, Bool[Array, "*some"] | None]:
        """Reads steps; also says which of them are whole, None if all are: a final observation may be gone."""
        items = self.layout.unpack(_read(self.rows, slots))
        if self.finals is None:
            return items, None
        count = self.rows.shape[0]
        ended = items.terminated | items.truncated
        final = _read(self.finals.of_slot, slots)
        following = jnp.where(ended, count + final, _wrapped(slots + 1, count))
        observation, next_observation = (_read(self.observations, rows) for rows in (slots, following))
        items = dataclasses.replace(items, observation=observation, next_observation=next_observation)
        return items, ~ended | (_read(self.finals.owner, final) == slots)

    def _with_finals(self, ended: Bool[Array, " time"], slots: Int[Array, " time"]):
        """Returns where the final observations are after these steps, and each step's row of them; behind all if none.

        Of more ends at once than there is room for, the last ones are kept: the owner tells.
        """
        finals = self.finals
        assert finals is not None
        room = finals.owner.shape[0]
        total = jnp.sum(ended, dtype=jnp.int32)
        before = jnp.cumsum(ended, dtype=jnp.int32) - ended.astype(jnp.int32)
        which = (finals.position + before) % room
        which_kept = jnp.where(ended & (total - before <= room), which, room)
        of_slot = finals.of_slot.at[slots].set(which, mode="promise_in_bounds", unique_indices=True)
        owner = finals.owner.at[which_kept].set(slots, mode="drop")
        return Finals(of_slot, owner, (finals.position + total) % room), self.rows.shape[0] + which_kept


def _wrapped(slots: Int[Array, "*some"], count: int) -> Int[Array, "*some"]:
    """Brings slots from at most one turn outside a ring back into it."""
    return jnp.where(slots < 0, slots + count, jnp.where(slots >= count, slots - count, slots))


def _bare(transition: Transition) -> Transition:
    return dataclasses.replace(transition, observation=None, next_observation=None)


def _read(tree: PyTree[Array], rows: Int[Array, "*some"]) -> PyTree[Array]:
    return jax.tree.map(lambda leaf: leaf.at[rows].get(mode="promise_in_bounds"), tree)


def _observation_size(example: PyTree[Array]) -> int:
    """Bytes of one observation; 0 for items that have none."""
    leaves = jax.tree.leaves(example.observation) if isinstance(example, Transition) else []
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
