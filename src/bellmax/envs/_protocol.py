"""What an environment is."""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core import Spaces


class Step(eqx.Module):
    """What one step of an environment brings.

    Attributes:
        observation: The true successor's, at the end of an episode too.
        reward: In the units of the environment.
        terminated: Whether the episode ended in a terminal state, whose value is zero.
        truncated: Whether the episode was cut short, by a time limit say. Both may be true at once: then the state is
            terminal.
        info: Whatever else the environment tells.
    """

    observation: PyTree[Array]
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]
    info: dict[str, Any] = eqx.field(default_factory=dict)


class AbstractEnvironment(eqx.Module):
    """Two pure functions over an explicit state.

    Both are written for one environment; `jax.vmap` makes many. The state's and the observation's structure, shapes and
    types are the same after `reset` and after every `step`. An environment never resets itself: the loop does.
    """

    @property
    @abc.abstractmethod
    def spaces(self) -> Spaces:
        """The spaces of one observation and of one action, from `gymnasium.spaces`."""

    @abc.abstractmethod
    def reset(self, *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Starts an episode.

        Args:
            key: Randomness of the first state.

        Returns:
            The state and the first observation.
        """

    @abc.abstractmethod
    def step(self, state: Any, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Step]:
        """Takes one action.

        Args:
            state: From `reset` or the last `step`.
            action: An element of the action space.
            key: Randomness of the transition.

        Returns:
            The next state and what the step brought. After the end of an episode the next state means nothing.
        """

    def frames(self, states: Sequence[Any]) -> list[np.ndarray]:
        """Draws states, on the host.

        Args:
            states: States of one environment, without a batch axis.

        Returns:
            A picture of each, (height, width, 3) of uint8.

        Raises:
            TypeError: If this environment cannot be drawn.
        """
        del states
        raise TypeError(f"{type(self).__name__} cannot be drawn as pictures")

    def html(self, states: Sequence[Any]) -> str:
        """Draws an episode as a page for a browser, on the host.

        Args:
            states: States of one environment, without a batch axis.

        Returns:
            The page.

        Raises:
            TypeError: If this environment cannot be drawn so.
        """
        del states
        raise TypeError(f"{type(self).__name__} cannot be drawn as a page")
