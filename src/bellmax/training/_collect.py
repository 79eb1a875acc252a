"""Acting in many environments at once."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._core import Mean, Transition, clip_to, lane_keys, psum
from ..algorithms import AbstractAlgorithm
from ..envs import AbstractEnvironment
from ._state import Lane


def start_lane(algorithm: AbstractAlgorithm, environment: AbstractEnvironment, key: Key[Array, ""]) -> Lane:
    """Starts an episode."""
    state, observation = environment.reset(key=key)
    zero = jnp.zeros(())
    return Lane(state, observation, algorithm.init_memory(environment.spaces), zero, zero)


def collect(
    algorithm: AbstractAlgorithm,
    environment: AbstractEnvironment,
    state: Any,
    lanes: Lane,
    *,
    length: int,
    step: Float[Array, ""],
    steps_at_once: int,
    key: Key[Array, ""],
    axis_name: str | None = None,
) -> tuple[Lane, Transition, dict[str, Mean]]:
    """Lets the policy act, and starts a new episode wherever one ends.

    Args:
        algorithm: Who acts.
        environment: Where.
        state: The algorithm's state.
        lanes: With a leading axis of lanes.
        length: Steps of each lane.
        step: Count of environment steps so far.
        steps_at_once: Environment steps that one step of all lanes of all devices counts.
        key: Randomness of this rollout; every lane derives its own from its global index.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The lanes, the transitions with leading axes `time lanes`, and the returns and lengths of finished episodes.
    """
    count = lanes.episode_return.shape[0]
    initial_memory = algorithm.init_memory(environment.spaces)

    def keys_of_lanes(key):
        return jax.vmap(lambda key: tuple(jax.random.split(key, 3)))(lane_keys(key, count, axis_name))

    keys = jax.vmap(keys_of_lanes)(jax.random.split(key, length))

    def step_lane(lane: Lane, keys, step):
        act_key, step_key, reset_key = keys
        action, extras, memory = algorithm.act(state, lane.observation, lane.memory, step=step, key=act_key)
        border_action = clip_to(environment.spaces.action, action)
        environment_state, outcome = environment.step(lane.environment, border_action, key=step_key)
        transition = Transition(
            lane.observation,
            action,
            outcome.reward,
            outcome.observation,
            outcome.terminated,
            outcome.truncated,
            extras,
        )
        ended = outcome.terminated | outcome.truncated
        episode_return = lane.episode_return + outcome.reward
        episode_length = lane.episode_length + 1
        fresh_state, fresh_observation = environment.reset(key=reset_key)
        zero = jnp.zeros(())
        fresh = Lane(fresh_state, fresh_observation, initial_memory, zero, zero)
        going_on = Lane(environment_state, outcome.observation, memory, episode_return, episode_length)
        lane = jax.tree.map(lambda new, old: jnp.where(ended, new, old), fresh, going_on)
        return lane, (transition, (episode_return, episode_length, ended.astype(float)))

    def step_all(lanes, now):
        keys, time = now
        return jax.vmap(step_lane, (0, 0, None))(lanes, keys, step + time * steps_at_once)

    times = jnp.arange(length, dtype=float)
    lanes, (transitions, (returns, lengths, ended)) = jax.lax.scan(step_all, lanes, (keys, times))
    metrics = {"episode_return": Mean.of(returns, ended), "episode_length": Mean.of(lengths, ended)}
    return lanes, transitions, psum(jax.tree.map(jnp.sum, metrics), axis_name)
