"""Return and length of episodes."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._protocol import AbstractEnvironment, Step
from ._wrapper import AbstractStatefulWrapper, WrapperState


class EpisodeStatistics(AbstractStatefulWrapper):
    """Adds `episode_return` and `episode_length` to a step's `info`: rewards and steps of this episode so far.

    At the end of an episode they are those of the whole. Inside other wrappers they tell what the environment itself
    paid, outside what the agent got.

    Attributes:
        environment: The one inside.
    """

    environment: AbstractEnvironment

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
