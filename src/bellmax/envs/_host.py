"""What an environment outside JAX is."""

import abc
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import Spaces


class HostEnvironmentError(RuntimeError):
    """An environment outside JAX raised, or gave what it must not; the message names the lane.

    Attributes:
        reason: What went wrong.
        lane: Where; None for no lane of its own.
    """

    def __init__(self, reason: str, lane: int | None = None):
        super().__init__(reason if lane is None else f"lane {lane}: {reason}")
        self.reason, self.lane = reason, lane


class HostStep(NamedTuple):
    """What one step of every lane brings: NumPy arrays with a leading axis of lanes.

    The arrays belong to the caller: nothing writes into them later. `start` may be the same arrays as `observation`.

    Attributes:
        observation: The true successor's, at the end of an episode too.
        reward: In the units of the environment.
        terminated: Whether the episode ended in a terminal state, whose value is zero.
        truncated: Whether the episode was cut short, by a time limit say.
        start: What the policy sees next: the first observation of a new episode where one ended, else `observation`.
        valid: Whether there was a step at all; false where the lane only began a new episode, whatever its action was.
            Where lanes do so, `start` is `observation` at the end of an episode, and the first observation of the next
            one comes with the step that is not valid.
    """

    observation: Any
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    start: Any
    valid: np.ndarray


class AbstractHostVectorEnv(abc.ABC):
    """Many copies of an environment that is not JAX, one a lane, which begin a new episode by themselves.

    Attributes:
        spaces: The spaces of one observation and of one action.
        num_envs: Number of lanes.
    """

    spaces: Spaces
    num_envs: int

    @abc.abstractmethod
    def reset(self, *, seed: int | Sequence[int]) -> Any:
        """Starts an episode in every lane.

        Args:
            seed: Randomness of all that follows, automatic resets included: a number from which every lane derives its
                own, or one number a lane.

        Returns:
            The first observations, with a leading axis of lanes.
        """

    @abc.abstractmethod
    def step(self, action: Any) -> HostStep:
        """Takes one action in every lane.

        Args:
            action: Elements of the action space, with a leading axis of lanes.

        Returns:
            What the step brought.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Gives back whatever the environments hold. May be called more than once."""


def lane_seeds(seed: int, lanes: int) -> list[int]:
    """Derives a seed for each lane; lane `i` keeps its own when lanes are added.

    Args:
        seed: At least 0.
        lanes: How many.

    Returns:
        Numbers in [0, 2^32).
    """
    return [int(np.random.SeedSequence(seed, spawn_key=(lane,)).generate_state(1)[0]) for lane in range(lanes)]


class AbstractHostEnvironment(abc.ABC):
    """An environment outside JAX: how to make lanes of it. It travels to worker processes, so it must pickle.

    Attributes:
        spaces: The spaces of one observation and of one action, as a policy sees them.
    """

    spaces: Spaces

    @property
    def outer_spaces(self) -> Spaces:
        """The spaces as the environment itself has them, where a `Discrete` may begin elsewhere."""
        return self.spaces

    @abc.abstractmethod
    def start(self, num_envs: int) -> AbstractHostVectorEnv:
        """Makes the environments of some lanes, in this process."""
