"""Small environments whose answers are known."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._core import Spaces
from ._protocol import AbstractEnvironment, Step


class Bandit(AbstractEnvironment):
    """Pulls one arm an episode; each arm always pays the same.

    The best return is the largest reward. Every step terminates.

    Attributes:
        rewards: What each arm pays.
    """

    rewards: tuple[float, ...] = eqx.field(static=True, default=(0.0, 0.5, 1.0))

    @property
    def spaces(self) -> Spaces:
        """One constant observation; one action an arm."""
        from gymnasium import spaces

        return Spaces(spaces.Box(0.0, 1.0, (1,), np.float32), spaces.Discrete(len(self.rewards)))

    def reset(self, *, key: Key[Array, ""]) -> tuple[tuple[()], Float[Array, "1"]]:
        """Starts an episode."""
        del key
        return (), jnp.ones(1)

    def step(self, state: tuple[()], action: Int[Array, ""], *, key: Key[Array, ""]) -> tuple[tuple[()], Step]:
        """Pulls an arm."""
        del key
        reward = jnp.asarray(self.rewards)[action]
        return state, Step(jnp.ones(1), reward, terminated=jnp.array(True), truncated=jnp.array(False))


class ChainState(NamedTuple):
    """Where in the chain, and for how long."""

    position: Int[Array, ""]
    time: Int[Array, ""]


class Chain(AbstractEnvironment):
    r"""Walks along a chain to a goal, or stays and lives off it until time is up.

    Action 1 steps forward and pays nothing; the step past the last state terminates and pays `goal_reward`. Action 0
    stays and pays `stay_reward`. After `time_limit` steps the episode is truncated. The first state is drawn uniformly.

    Known answers: always forward, the value of position $p$ is $\gamma^{n-1-p}\,r_{goal}$; always staying, it is
    $r_{stay}/(1-\gamma)$ everywhere, however short the time limit.

    Attributes:
        length: Number of states n.
        time_limit: Steps after which the episode is truncated.
        goal_reward: What the last step forward pays.
        stay_reward: What staying pays.
    """

    length: int = eqx.field(static=True, default=4)
    time_limit: int = eqx.field(static=True, default=10)
    goal_reward: float = 1.0
    stay_reward: float = 0.0

    @property
    def spaces(self) -> Spaces:
        """The position as one of n; two actions."""
        from gymnasium import spaces

        return Spaces(spaces.Box(0.0, 1.0, (self.length,), np.float32), spaces.Discrete(2))

    def reset(self, *, key: Key[Array, ""]) -> tuple[ChainState, Float[Array, " length"]]:
        """Starts somewhere in the chain."""
        state = ChainState(jax.random.randint(key, (), 0, self.length), jnp.zeros((), jnp.int32))
        return state, self._observe(state)

    def step(self, state: ChainState, action: Int[Array, ""], *, key: Key[Array, ""]) -> tuple[ChainState, Step]:
        """Stays or steps forward."""
        del key
        position = state.position + action
        terminated = position >= self.length
        reward = jnp.where(action == 0, self.stay_reward, jnp.where(terminated, self.goal_reward, 0.0))
        state = ChainState(jnp.minimum(position, self.length - 1), state.time + 1)
        return state, Step(self._observe(state), reward, terminated, truncated=state.time >= self.time_limit)

    def _observe(self, state: ChainState) -> Float[Array, " length"]:
        return jax.nn.one_hot(state.position, self.length)


class RecallState(NamedTuple):
    """What was shown, and how long ago."""

    cue: Int[Array, ""]
    time: Int[Array, ""]


class Recall(AbstractEnvironment):
    """Shows a cue, waits, and asks for it.

    The first observation shows one of `cues`, the others are blank but for a sign that says when to answer. The step
    that answers terminates and pays 1 for the cue, 0 for anything else. With memory the best return is 1, without it
    1 / cues.

    Attributes:
        cues: How many different cues there are.
        delay: How many blank observations lie between the cue and the question.
    """

    cues: int = eqx.field(static=True, default=2)
    delay: int = eqx.field(static=True, default=2)

    @property
    def spaces(self) -> Spaces:
        """The cue as one of n and the sign to answer; one action a cue."""
        from gymnasium import spaces

        return Spaces(spaces.Box(0.0, 1.0, (self.cues + 1,), np.float32), spaces.Discrete(self.cues))

    def reset(self, *, key: Key[Array, ""]) -> tuple[RecallState, Float[Array, " features"]]:
        """Draws a cue and shows it."""
        state = RecallState(jax.random.randint(key, (), 0, self.cues), jnp.zeros((), jnp.int32))
        return state, self._observe(state)

    def step(self, state: RecallState, action: Int[Array, ""], *, key: Key[Array, ""]) -> tuple[RecallState, Step]:
        """Waits, or answers."""
        del key
        answered = state.time > self.delay
        reward = (answered & (action == state.cue)).astype(float)
        state = RecallState(state.cue, state.time + 1)
        return state, Step(self._observe(state), reward, terminated=answered, truncated=jnp.array(False))

    def _observe(self, state: RecallState) -> Float[Array, " features"]:
        shown = jnp.where(state.time == 0, jax.nn.one_hot(state.cue, self.cues), 0.0)
        asked = (state.time > self.delay).astype(float)
        return jnp.append(shown, asked)
