"""`envs.Chain` written for every package, so that its known answers can be asked through every adapter.

Each is the same chain: action 1 steps forward and pays nothing, the step past the last state terminates and pays
`goal_reward`; action 0 stays and pays `stay_reward`; after `time_limit` steps the episode is truncated, and on that
very step it may terminate too. The first position is drawn uniformly, the observation is the position as one of
`length`.

`bellmax_chain(package, ...)` gives it behind the library's protocol; a package is imported when its chain is asked for.
"""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from bellmax import envs
from bellmax.envs._brax_like import quiet

LENGTH, TIME_LIMIT = 4, 10


class GymnasiumChain(gymnasium.Env):
    """The chain as a `gymnasium.Env`. It pickles, and so does the class, for worker processes."""

    def __init__(self, length=LENGTH, time_limit=TIME_LIMIT, goal_reward=1.0, stay_reward=0.0):
        self.length, self.time_limit = length, time_limit
        self.goal_reward, self.stay_reward = goal_reward, stay_reward
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (length,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.position = self.time = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        position = (options or {}).get("position")
        self.position = int(self.np_random.integers(self.length)) if position is None else position
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        position = self.position + int(action)
        terminated = position >= self.length
        reward = self.stay_reward if action == 0 else self.goal_reward if terminated else 0.0
        self.position, self.time = min(position, self.length - 1), self.time + 1
        return self._observe(), reward, terminated, self.time >= self.time_limit, {}

    def _observe(self):
        return np.eye(self.length, dtype=np.float32)[self.position]


def gymnax_chain(length=LENGTH, time_limit=TIME_LIMIT, goal_reward=1.0, stay_reward=0.0):
    """Returns the chain as a gymnax environment, and its parameters."""
    from flax import struct
    from gymnax.environments import environment, spaces

    @struct.dataclass
    class State(environment.EnvState):
        position: jax.Array
        time: int

    @struct.dataclass
    class Parameters(environment.EnvParams):
        goal_reward: float = 1.0
        stay_reward: float = 0.0
        max_steps_in_episode: int = TIME_LIMIT

    class GymnaxChain(environment.Environment):
        @property
        def default_params(self):
            return Parameters()

        def reset_env(self, key, params):
            state = State(position=jax.random.randint(key, (), 0, length), time=0)
            return jax.nn.one_hot(state.position, length), state

        def step_env(self, key, state, action, params):
            position, reward, terminated = advance(state.position, action, length, params)
            state = State(position=position, time=state.time + 1)
            return jax.nn.one_hot(position, length), state, reward, terminated, {}

        def observation_space(self, params):
            return spaces.Box(0.0, 1.0, (length,), jnp.float32)

        def action_space(self, params):
            return spaces.Discrete(2)

    return GymnaxChain(), Parameters(goal_reward=goal_reward, stay_reward=stay_reward, max_steps_in_episode=time_limit)


def brax_chain(length=LENGTH, goal_reward=1.0, stay_reward=0.0):
    """Returns the chain as a brax environment, which has no time limit: the adapter's `episode_length` is its clock.

    Brax knows continuous actions only: what is above zero steps forward.
    """
    with quiet():
        from brax.envs.base import Env, State

    rewards = Rewards(goal_reward, stay_reward)

    class BraxChain(Env):
        def reset(self, rng):
            position = jax.random.randint(rng, (), 0, length)
            zero = jnp.zeros(())
            return State(position, jax.nn.one_hot(position, length), zero, zero, {"goals": zero})

        def step(self, state, action):
            forward = (jnp.reshape(action, ()) > 0).astype(jnp.int32)
            position, reward, done = advance(state.pipeline_state, forward, length, rewards)
            metrics = {"goals": done.astype(float)}
            observation = jax.nn.one_hot(position, length)
            return state.replace(
                pipeline_state=position, obs=observation, reward=reward, done=done.astype(float), metrics=metrics
            )

        observation_size = property(lambda self: length)
        action_size = property(lambda self: 1)
        backend = property(lambda self: "none")

    return BraxChain()


def jumanji_chain(length=LENGTH, time_limit=TIME_LIMIT, goal_reward=1.0, stay_reward=0.0):
    """Returns the chain as a jumanji environment; where both ends meet its `TimeStep` can only say the termination."""
    from functools import cached_property
    from typing import NamedTuple

    from jumanji import Environment, specs
    from jumanji.types import StepType, TimeStep, restart

    rewards = Rewards(goal_reward, stay_reward)

    class State(NamedTuple):
        position: jax.Array
        time: jax.Array
        key: jax.Array

    class JumanjiChain(Environment):
        def reset(self, key):
            position = jax.random.randint(key, (), 0, length)
            return State(position, jnp.zeros((), int), key), restart(jax.nn.one_hot(position, length))

        def step(self, state, action):
            position, reward, terminated = advance(state.position, action, length, rewards)
            time = state.time + 1
            step_type = jnp.where(terminated | (time >= time_limit), StepType.LAST, StepType.MID)
            discount = jnp.where(terminated, 0.0, 1.0)
            timestep = TimeStep(
                step_type=step_type, reward=reward, discount=discount, observation=jax.nn.one_hot(position, length)
            )
            return State(position, time, state.key), timestep

        @cached_property
        def observation_spec(self):
            return specs.BoundedArray((length,), float, 0.0, 1.0, "position")

        @cached_property
        def action_spec(self):
            return specs.DiscreteArray(2)

    return JumanjiChain()


class Rewards:
    """What the chain pays, where a package has no parameters."""

    def __init__(self, goal_reward, stay_reward):
        self.goal_reward, self.stay_reward = goal_reward, stay_reward


def advance(position, action, length, pays):
    """Returns the next position, the reward and whether the chain ended."""
    ahead = position + jnp.asarray(action, jnp.int32)
    terminated = ahead >= length
    reward = jnp.where(action == 0, pays.stay_reward, jnp.where(terminated, pays.goal_reward, 0.0))
    return jnp.minimum(ahead, length - 1), reward, terminated


# The adapters' packages that have a chain which runs inside JAX.
PACKAGES = ("bellmax", "gymnax", "brax", "jumanji")


def bellmax_chain(package, length=LENGTH, time_limit=TIME_LIMIT, goal_reward=1.0, stay_reward=0.0):
    """Returns one package's chain behind the library's protocol, with two discrete actions.

    Skip the test first where the package is missing: `pytest.importorskip(package)`.
    """
    if package == "bellmax":
        return envs.Chain(length, time_limit, goal_reward, stay_reward)
    if package == "gymnax":
        return envs.GymnaxEnvironment.of(*gymnax_chain(length, time_limit, goal_reward, stay_reward))
    if package == "brax":
        chain = brax_chain(length, goal_reward, stay_reward)
        return envs.BraxEnvironment.of(chain, episode_length=time_limit, action_space=gymnasium.spaces.Discrete(2))
    if package == "jumanji":
        return envs.JumanjiEnvironment.of(jumanji_chain(length, time_limit, goal_reward, stay_reward))
    raise ValueError(f"there is no chain of {package!r}; there are {', '.join(PACKAGES)}")
