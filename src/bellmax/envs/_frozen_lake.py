"""A lake to be crossed on foot."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from .._core import Spaces
from ._protocol import AbstractEnvironment, Step

_LAKE = ("SFFF", "FHFH", "FFFH", "HFFG")
_MOVES = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]])
"""Rows and columns of a step to the left, down, right, up."""


class FrozenLakeState(NamedTuple):
    """Where on the lake, and for how long."""

    place: Int[Array, ""]
    time: Int[Array, ""]


class FrozenLake(AbstractEnvironment):
    """Crosses a frozen lake of four by four fields between holes, as Gymnasium's `FrozenLake-v1`.

    Arriving at the goal terminates and pays 1, arriving at a hole terminates and pays nothing. Actions 0 to 3 step to
    the left, down, right and up; a step off the lake stays. After `time_limit` steps the episode is truncated.

    Known answers: not slippery, the best return is 1, in six steps; slippery and within 100 steps, 0.74 on average.

    Attributes:
        slippery: Whether a step goes as often to either side as where it was meant to go.
        time_limit: Steps after which the episode is truncated.
    """

    slippery: bool = eqx.field(static=True, default=False)
    time_limit: int = eqx.field(static=True, default=100)

    @property
    def spaces(self) -> Spaces:
        """One of 16 fields, row by row; four actions."""
        from gymnasium import spaces

        return Spaces(spaces.Discrete(16), spaces.Discrete(4))

    def reset(self, *, key: Key[Array, ""]) -> tuple[FrozenLakeState, Int[Array, ""]]:
        """Starts in the first field."""
        del key
        zero = jnp.zeros((), jnp.int32)
        return FrozenLakeState(zero, zero), zero

    def step(self, state: FrozenLakeState, action: Int[Array, ""], *, key: Key[Array, ""]) -> tuple:
        """Steps, or slips."""
        if self.slippery:
            action = (action + jax.random.randint(key, (), -1, 2)) % 4
        row, column = jnp.clip(jnp.stack(jnp.divmod(state.place, 4)) + jnp.asarray(_MOVES, jnp.int32)[action], 0, 3)
        place = 4 * row + column
        kind = np.array([[ord(field) for field in row] for row in _LAKE]).ravel()
        at_goal = jnp.asarray(kind == ord("G"))[place]
        in_hole = jnp.asarray(kind == ord("H"))[place]
        state = FrozenLakeState(place, state.time + 1)
        step = Step(place, at_goal.astype(float), at_goal | in_hole, truncated=state.time >= self.time_limit)
        return state, step
