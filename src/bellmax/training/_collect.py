"""Acting in many environments at once."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from .._core import Mean, Transition, clip_to, lane_keys, psum
from ..algorithms import AbstractAlgorithm
from ..envs import AbstractEnvironment
from ._state import Lane

_STARTS_AT_LEAST = 4
_SHARE_OF_STARTS = 16
"""How many episodes are started at once: a sixteenth of the lanes, or four."""


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

    def of_lanes(key):
        return jax.vmap(lambda key: lane_keys(key, count, axis_name))(jax.random.split(key, length))

    act_key, step_key, reset_key = jax.random.split(key, 3)
    keys = of_lanes(act_key), of_lanes(step_key), jax.random.split(reset_key, length)

    def step_lane(lane: Lane, act_key, step_key, step):
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
        episode_return = lane.episode_return + outcome.reward
        episode_length = lane.episode_length + 1
        return Lane(environment_state, outcome.observation, memory, episode_return, episode_length), transition

    def step_all(lanes, now):
        (act_keys, step_keys, reset_key), time = now
        step_now = step + time * steps_at_once
        lanes, transition = jax.vmap(step_lane, (0, 0, 0, None))(lanes, act_keys, step_keys, step_now)
        ended = transition.terminated | transition.truncated
        finished = (lanes.episode_return, lanes.episode_length, ended.astype(float))
        keys_of = functools.partial(lane_keys, reset_key, count, axis_name)
        lanes = _restart(lambda key: start_lane(algorithm, environment, key), lanes, ended, keys_of)
        return lanes, (transition, finished)

    times = jnp.arange(length, dtype=float)
    lanes, (transitions, (returns, lengths, ended)) = jax.lax.scan(step_all, lanes, (keys, times))
    metrics = {"episode_return": Mean.of(returns, ended), "episode_length": Mean.of(lengths, ended)}
    return lanes, transitions, psum(jax.tree.map(jnp.sum, metrics), axis_name)


def _restart(
    start: Callable[[Key[Array, ""]], Lane], lanes: Lane, ended: Bool[Array, " lanes"], keys_of: Callable[..., Any]
) -> Lane:
    """Starts an episode in every lane where one ended, a few lanes at a time: few end at once, and starts are dear."""
    count = ended.shape[0]
    at_once = min(count, max(_STARTS_AT_LEAST, count // _SHARE_OF_STARTS))

    def start_some(carry):
        lanes, waiting = carry
        (which,) = jnp.nonzero(waiting, size=at_once, fill_value=count)
        fresh = jax.vmap(start)(keys_of(which=which))
        lanes = jax.tree.map(lambda old, new: old.at[which].set(new, mode="drop"), lanes, fresh)
        return lanes, waiting.at[which].set(False, mode="drop")

    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), start_some, (lanes, ended))[0]
