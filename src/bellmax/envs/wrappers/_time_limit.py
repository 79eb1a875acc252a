"""Episodes of limited length."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from ..._core import guard
from .._protocol import AbstractEnvironment, Step
from ._wrapper import AbstractStatefulWrapper, WrapperState


class TimeLimit(AbstractStatefulWrapper):
    """Truncates an episode after some steps.

    The step that reaches the limit is truncated, whether it terminated or not; so is whatever the environment inside
    truncates before.

    Attributes:
        environment: The one inside.
        steps: The limit, at least 1.

    Example:
        >>> import jax
        >>> from bellmax import envs
        >>> chain = TimeLimit(envs.Chain(time_limit=100), 2)
        >>> state, _ = chain.reset(key=jax.random.key(0))
        >>> for _ in range(2):
        ...     state, step = chain.step(state, jnp.array(0), key=jax.random.key(1))
        >>> bool(step.truncated)
        True
    """

    environment: AbstractEnvironment
    steps: int | Int[Array, ""]

    def __check_init__(self):
        guard(self.steps, lambda steps: steps >= 1, "TimeLimit: steps must be at least 1")

    def reset(self, *, key: Key[Array, ""]) -> tuple[WrapperState, PyTree[Array]]:
        """Starts an episode."""
        inner, observation = self.environment.reset(key=key)
        return WrapperState(inner, jnp.zeros((), jnp.int32)), observation

    def step(self, state: WrapperState, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[WrapperState, Step]:
        """Takes one action."""
        inner, step = self.environment.step(state.inner, action, key=key)
        time = state.own + 1
        return WrapperState(inner, time), dataclasses.replace(step, truncated=step.truncated | (time >= self.steps))
