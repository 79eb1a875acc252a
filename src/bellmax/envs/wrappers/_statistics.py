"""Return and length of episodes."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from ..._core import Spaces
from .._protocol import AbstractEnvironment, Step
from ._wrapper import AbstractWrapper, WrapperState


class EpisodeStatistics(AbstractWrapper):
    """Adds `episode_return` and `episode_length` to a step's `info`: rewards and steps of this episode so far.

    At the end of an episode they are those of the whole. Inside other wrappers they tell what the environment itself
    paid, outside what the agent got.

    Attributes:
        environment: The one inside.
    """

    environment: AbstractEnvironment

    @property
    def spaces(self) -> Spaces:
        """The spaces inside."""
        return self.environment.spaces

    def inner(self, state: WrapperState) -> Any:
        """Returns the state of the environment inside."""
        return state.inner

    def reset(self, *, key: Key[Array, ""]) -> tuple[WrapperState, PyTree[Array]]:
        """Starts an episode."""
        inner, observation = self.environment.reset(key=key)
        return WrapperState(inner, (jnp.zeros(()), jnp.zeros((), jnp.int32))), observation

    def step(self, state: WrapperState, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[WrapperState, Step]:
        """Takes one action."""
        inner, step = self.environment.step(state.inner, action, key=key)
        total, length = state.own
        total = jnp.asarray(total + step.reward, total.dtype)
        info = {**step.info, "episode_return": total, "episode_length": length + 1}
        return WrapperState(inner, (total, length + 1)), dataclasses.replace(step, info=info)
