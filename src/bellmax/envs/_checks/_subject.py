"""What is checked, and what was computed of it so far."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._protocol import AbstractEnvironment
from ._rollout import Lane, Seen, roll_out
from ._spaces import sample

RESETS = 128
"""How many first states are looked at."""


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """An environment under check, and what was computed of it so far.

    Attributes:
        environment: The environment.
        key: Randomness of the check.
        steps: Steps of each lane of the random rollout.
    """

    environment: AbstractEnvironment
    key: Key[Array, ""]
    steps: int

    def reset(self, key):
        """Resets by position, for JAX's transformations."""
        return self.environment.reset(key=key)

    def step(self, state, action, key):
        """Steps by position, for JAX's transformations."""
        return self.environment.step(state, action, key=key)

    @functools.cached_property
    def types_of_reset(self) -> Any:
        """Shapes and types of the first state and the first observation."""
        return jax.eval_shape(lambda key: self.reset(key), self.key)

    def types_of_step(self, state: Any) -> Any:
        """Shapes and types of what a step brings."""
        action = jax.eval_shape(lambda key: sample(self.environment.spaces.action, key), self.key)
        return jax.eval_shape(lambda *arguments: self.step(*arguments), state, action, self.key)

    @functools.cached_property
    def starts(self) -> Any:
        """First states and observations of many keys."""
        return self.reset_many(self.start_keys)

    @functools.cached_property
    def start_keys(self) -> Key[Array, " resets"]:
        """The keys of these."""
        return jax.jit(lambda key: jax.random.split(jax.random.fold_in(key, 0), RESETS))(self.key)

    @functools.cached_property
    def reset_many(self) -> Any:
        """`reset` over an axis of `RESETS` keys, compiled."""
        return jax.jit(jax.vmap(self.reset))

    @functools.cached_property
    def rollout(self) -> tuple[Lane, Seen]:
        """What a random rollout ends with and shows."""
        return roll_out(self.environment, self.starts, steps=self.steps, key=self.key)

    @functools.cached_property
    def action(self) -> PyTree[Array]:
        """Some action."""
        return jax.jit(lambda key: sample(self.environment.spaces.action, jax.random.fold_in(key, 1)))(self.key)


def distinct(tree: PyTree[Array]) -> int:
    """Counts different rows; typed keys do not count, since every row may carry its own."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if not is_key(leaf)]
    return len({b"".join(leaf[row].tobytes() for leaf in leaves) for row in range(RESETS)})


def is_key(leaf: Any) -> bool:
    """Tells whether a leaf holds typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
