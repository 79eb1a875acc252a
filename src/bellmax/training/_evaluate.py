"""How good a policy is."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from .._core import clip_to, lane_keys
from ..algorithms import AbstractAlgorithm
from ..envs import AbstractEnvironment
from ._collect import start_lane


class Episodes(eqx.Module):
    """What evaluation saw.

    Attributes:
        episode_return: Sum of the rewards of each episode.
        episode_length: Steps of each episode.
        finished: Whether each episode ended before `max_steps`.
    """

    episode_return: Float[Array, "*seeds episodes"]
    episode_length: Int[Array, "*seeds episodes"]
    finished: Bool[Array, "*seeds episodes"]


def evaluate(
    algorithm: AbstractAlgorithm,
    environment: AbstractEnvironment,
    state: Any,
    *,
    step: Float[Array, ""],
    key: Key[Array, ""],
    episodes: int = 128,
    explore: bool = False,
    max_steps: int = 100_000,
) -> Episodes:
    """Plays whole episodes, all at once, each in an environment of its own.

    Every environment plays exactly one episode, so short episodes do not count more than long ones. The state is not
    changed, and the key should be no part of the training's: then evaluating changes nothing in training.

    Args:
        algorithm: Whose policy.
        environment: Where.
        state: The algorithm's state.
        step: Count of environment steps, for schedules of exploration.
        key: Randomness of the episodes.
        episodes: How many.
        explore: Whether to sample as in training; else the policy's mode.
        max_steps: An episode that has not ended by then is cut and counts as not finished.

    Returns:
        Return and length of every episode.
    """
    reset_keys, play_keys = jax.vmap(lambda key: tuple(jax.random.split(key)))(lane_keys(key, episodes))
    lanes = jax.vmap(lambda key: start_lane(algorithm, environment, key))(reset_keys)

    def step_lane(lane, finished, key, time):
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        action, _, memory = algorithm.act(state, lane.observation, lane.memory, step=step, key=act_key, explore=explore)
        action = clip_to(environment.spaces.action, action)
        environment_state, outcome = environment.step(lane.environment, action, key=step_key)
        lane = type(lane)(
            environment_state,
            outcome.observation,
            memory,
            lane.episode_return + jnp.where(finished, 0, outcome.reward),
            lane.episode_length + ~finished,
        )
        return lane, finished | outcome.terminated | outcome.truncated

    def play(carry):
        lanes, finished, time = carry
        lanes, finished = jax.vmap(step_lane, (0, 0, 0, None))(lanes, finished, play_keys, time)
        return lanes, finished, time + 1

    def going_on(carry):
        _, finished, time = carry
        return ~jnp.all(finished) & (time < max_steps)

    start = (lanes, jnp.zeros(episodes, bool), jnp.zeros((), jnp.int32))
    lanes, finished, _ = jax.lax.while_loop(going_on, play, start)
    return Episodes(lanes.episode_return, lanes.episode_length.astype(jnp.int32), finished)
