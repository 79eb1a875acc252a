"""What wrappers have in common."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from ..._core import Masked, Spaces
from .._protocol import AbstractEnvironment, Step

if TYPE_CHECKING:
    from gymnasium import Space


class WrapperState(NamedTuple):
    """The state of a wrapper that remembers something.

    Attributes:
        inner: State of the environment inside.
        own: What the wrapper remembers.
    """

    inner: Any
    own: Any


class AbstractWrapper(AbstractEnvironment):
    """An environment around another.

    Attributes:
        environment: The one inside.
    """

    environment: eqx.AbstractVar[AbstractEnvironment]

    def __check_init__(self):
        if not isinstance(self.environment, AbstractEnvironment):
            got = type(self.environment).__name__
            raise TypeError(f"{type(self).__name__}: the environment must be an AbstractEnvironment; got a {got}")

    @abc.abstractmethod
    def inner(self, state: Any) -> Any:
        """Returns the state of the environment inside."""

    def frames(self, states: Sequence[Any]) -> list[np.ndarray]:
        """Draws states as the environment inside does."""
        return self.environment.frames([self.inner(state) for state in states])

    def html(self, states: Sequence[Any]) -> str:
        """Shows states as a page, as the environment inside does."""
        return self.environment.html([self.inner(state) for state in states])


class AbstractObservationWrapper(AbstractWrapper):
    """Changes observations.

    Beside an action mask (see `Masked`) only the observation itself is changed: the mask always speaks of now.
    """

    @abc.abstractmethod
    def observation_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space of what is shown, from that of what is there."""

    @abc.abstractmethod
    def first(self, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Returns what to remember and what to show of an episode's first observation."""

    @abc.abstractmethod
    def following(self, own: Any, observation: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Returns what to remember and what to show of a later one, from what was remembered."""

    @property
    def spaces(self) -> Spaces:
        """The space of what is shown; the actions inside."""
        from gymnasium import spaces

        space, action = self.environment.spaces
        there, mask = Masked.of(space)
        shown = self.observation_space(there)
        return Spaces(shown if mask is None else spaces.Dict({"observation": shown, "action_mask": mask}), action)

    def inner(self, state: WrapperState) -> Any:
        """Returns the state of the environment inside."""
        return state.inner

    def reset(self, *, key: Key[Array, ""]) -> tuple[WrapperState, PyTree[Array]]:
        """Starts an episode."""
        reset_key, show_key = jax.random.split(key)
        inner, observation = self.environment.reset(key=reset_key)
        own, shown = self.first(Masked.of(observation).observation, key=show_key)
        return WrapperState(inner, own), _beside_mask(observation, shown)

    def step(self, state: WrapperState, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[WrapperState, Step]:
        """Takes one action."""
        step_key, show_key = jax.random.split(key)
        inner, step = self.environment.step(state.inner, action, key=step_key)
        own, shown = self.following(state.own, Masked.of(step.observation).observation, key=show_key)
        return WrapperState(inner, own), dataclasses.replace(step, observation=_beside_mask(step.observation, shown))


class AbstractActionWrapper(AbstractWrapper):
    """Takes actions of another kind and translates them."""

    @abc.abstractmethod
    def action_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space of what is taken, from that of what the environment inside takes."""

    @abc.abstractmethod
    def translate(self, action: PyTree[Array], *, key: Key[Array, ""]) -> PyTree[Array]:
        """Returns the action of the environment inside."""

    @property
    def spaces(self) -> Spaces:
        """The observations inside; the space of what is taken."""
        observation, action = self.environment.spaces
        return Spaces(observation, self.action_space(action))

    def inner(self, state: Any) -> Any:
        """Returns the state of the environment inside, which is the wrapper's."""
        return state

    def reset(self, *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Starts an episode."""
        return self.environment.reset(key=key)

    def step(self, state: Any, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Step]:
        """Translates one action and takes it."""
        step_key, translate_key = jax.random.split(key)
        return self.environment.step(state, self.translate(action, key=translate_key), key=step_key)


class AbstractStatefulWrapper(AbstractWrapper):
    """Keeps something beside the state inside, in a `WrapperState`, and changes no space."""

    @property
    def spaces(self) -> Spaces:
        """The spaces inside."""
        return self.environment.spaces

    def inner(self, state: WrapperState) -> Any:
        """Returns the state of the environment inside."""
        return state.inner


class AbstractStatelessWrapper(AbstractWrapper):
    """Keeps nothing and changes neither space nor start."""

    @property
    def spaces(self) -> Spaces:
        """The spaces inside."""
        return self.environment.spaces

    def inner(self, state: Any) -> Any:
        """Returns the state of the environment inside, which is the wrapper's."""
        return state

    def reset(self, *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Starts an episode."""
        return self.environment.reset(key=key)


class AbstractRewardWrapper(AbstractStatelessWrapper):
    """Changes rewards."""

    @abc.abstractmethod
    def reward(self, reward: Float[Array, ""]) -> Float[Array, ""]:
        """Returns what is paid, from what the environment inside pays."""

    def step(self, state: Any, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Step]:
        """Takes one action."""
        state, step = self.environment.step(state, action, key=key)
        return state, dataclasses.replace(step, reward=jnp.asarray(self.reward(step.reward), float).reshape(()))


def _beside_mask(observation: PyTree[Array], shown: PyTree[Array]) -> PyTree[Array]:
    """Returns what is shown, beside the action mask of the observation where it has one."""
    mask = Masked.of(observation).action_mask
    return shown if mask is None else {"observation": shown, "action_mask": mask}
