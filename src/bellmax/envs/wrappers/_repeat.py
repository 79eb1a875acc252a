"""One action for several steps."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from ..._core import strong
from .._protocol import AbstractEnvironment, Step
from ._wrapper import AbstractStatelessWrapper


class ActionRepeat(AbstractStatelessWrapper):
    """Takes each action several times and adds the rewards up.

    Where the episode ends in between, nothing is done after its last step: the step that is returned is that one, with
    the rewards up to it.

    Attributes:
        environment: The one inside.
        count: How many times.
    """

    environment: AbstractEnvironment
    count: int = eqx.field(static=True)

    def __check_init__(self):
        if self.count < 1:
            raise ValueError(f"ActionRepeat: count must be at least 1; got {self.count}")

    def step(self, state: Any, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Step]:
        """Takes one action several times, or until the episode ends."""
        keys = jax.random.split(key, self.count)
        first = strong(self.environment.step(state, action, key=keys[0]))

        def again(carry, key):
            state, step = carry
            next_state, next_step = self.environment.step(state, action, key=key)
            next_step = dataclasses.replace(next_step, reward=step.reward + next_step.reward)
            ended = step.terminated | step.truncated
            return _where(ended, carry, (next_state, next_step)), None

        (state, step), _ = jax.lax.scan(again, first, keys[1:])
        return state, step


def _where(condition, old, new):
    """Picks one of two trees, in the types of the first."""
    return strong(jax.tree.map(lambda old, new: jnp.where(condition, old, new), old, new), old)
