"""What an environment outside JAX is."""

import abc
from typing import Any, NamedTuple

import numpy as np

from .._core import Spaces


class HostStep(NamedTuple):
    """What one step of every lane brings: NumPy arrays with a leading axis of lanes.

    The arrays belong to the caller: nothing writes into them later.

    Attributes:
        observation: The true successor's, at the end of an episode too.
        reward: In the units of the environment.
        terminated: Whether the episode ended in a terminal state, whose value is zero.
        truncated: Whether the episode was cut short, by a time limit say.
        start: What the policy sees next: the first observation of a new episode where one ended, else `observation`.
        valid: Whether there was a step at all; false where the lane only began a new episode, whatever its action was.
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
    def reset(self, *, seed: int) -> Any:
        """Starts an episode in every lane.

        Args:
            seed: Randomness of all that follows, automatic resets included.

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


class AbstractHostEnvironment(abc.ABC):
    """An environment outside JAX: how to make lanes of it. It travels to worker processes, so it must pickle.

    Attributes:
        spaces: The spaces of one observation and of one action.
    """

    spaces: Spaces

    @abc.abstractmethod
    def start(self, num_envs: int) -> AbstractHostVectorEnv:
        """Makes the environments of some lanes, in this process."""
