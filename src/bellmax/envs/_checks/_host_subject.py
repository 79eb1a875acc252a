"""A rollout outside JAX, and how its parts are compared."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from ..._core import Masked
from .._host import AbstractHostEnvironment, HostStep

LANES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class HostSubject:
    """A host environment under check, and what it did so far.

    Attributes:
        environment: The environment.
        seed: Randomness of the check.
        steps: Steps of each lane.
    """

    environment: AbstractHostEnvironment
    seed: int
    steps: int

    @functools.cached_property
    def actions(self) -> list[Any]:
        """One random action a lane for every step."""
        space = self.environment.spaces.action
        space.seed(self.seed)
        draws = [[space.sample() for _ in range(LANES)] for _ in range(self.steps)]
        return [jax.tree.map(lambda *parts: np.stack(parts), *lanes) for lanes in draws]

    def act(self, time: int, observation: Any) -> Any:
        """Returns the actions of one step, legal ones where the observations bring masks of them."""
        action, mask = self.actions[time], Masked.of(observation).action_mask
        if getattr(mask, "ndim", 0) != 2 or getattr(action, "shape", None) != (LANES,):
            return action
        chances = np.random.default_rng((self.seed, time)).random(mask.shape)
        return np.argmax(np.where(mask, chances, -1), axis=1).astype(action.dtype)

    def play(self, seed: int, steps: int, environments: Any = None) -> tuple[Any, list[HostStep]]:
        """Acts at random from a reset; returns copies of the first observations and of every step."""
        started = environments or self.environment.start(LANES)
        try:
            start, played = copied(started.reset(seed=seed)), []
            for time in range(steps):
                played.append(copied(started.step(self.act(time, played[-1].start if played else start))))
            return start, played
        finally:
            if environments is None:
                started.close()

    @functools.cached_property
    def played(self) -> tuple[Any, list[HostStep]]:
        """The whole rollout."""
        return self.play(self.seed, self.steps)


def equal_lanes(one: Any, other: Any) -> np.ndarray:
    """Tells for each lane whether its observations are equal."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return np.all([(a == b).reshape(LANES, -1).all(axis=1) for a, b in pairs], axis=0)


def row(tree: Any, lane: int) -> bytes:
    """Returns one lane's observation, to be compared or counted."""
    return b"".join(leaf[lane].tobytes() for leaf in jax.tree.leaves(tree))


def copied(tree: Any) -> Any:
    """Returns arrays of one's own."""
    return jax.tree.map(np.array, tree)


def same(one: Any, other: Any) -> bool:
    """Tells whether all arrays are equal, to the bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)
