"""How good a policy is in an environment that is not JAX."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key

from .._core import clip_to, lane_keys
from ..envs import AbstractHostVectorEnv
from ..training import Episodes
from ._compile import compiled
from ._host_loop import opened, seed_of, to_host
from ._host_trainer import HostTrainer, where_lanes


def evaluate_on_host(
    trainer: HostTrainer,
    state: Any,
    *,
    step: Float[Array, ""],
    keys: Key[Array, " seeds"],
    episodes: int = 128,
    explore: bool = False,
    max_steps: int = 100_000,
) -> Episodes:
    """Plays whole episodes with the policy of each seed, one seed after another.

    Every lane plays a number of episodes that is fixed beforehand, so short episodes do not count more than long ones.

    Args:
        trainer: Its algorithm and environment.
        state: The algorithm's state; every array has a leading axis of seeds.
        step: Count of environment steps, for schedules of exploration.
        keys: Randomness of each seed's episodes, the seeds of the lanes included.
        episodes: Episodes of each seed.
        explore: Whether to sample as in training; else the policy's mode.
        max_steps: An episode that has not ended by then counts as not finished, and the next is counted from there.

    Returns:
        Return and length of every episode.
    """
    arrays, rest = eqx.partition(state, eqx.is_array)
    policy = _Policy(trainer, rest, step, explore)
    with opened(trainer) as trainer:
        lanes = trainer.environment
        assert isinstance(lanes, AbstractHostVectorEnv)
        played = [
            _play(
                policy.of(jax.tree.map(lambda leaf, seed=seed: leaf[seed], arrays), keys[seed]),
                lanes,
                episodes,
                max_steps,
            )
            for seed in range(len(keys))
        ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *played)


class _Policy:
    """The compiled policy of all lanes."""

    def __init__(self, trainer: HostTrainer, rest: Any, step: Float[Array, ""], explore: bool):
        self._trainer = trainer
        self._algorithm, self._spaces = trainer.algorithm, trainer.environment.spaces
        self._rest, self._step, self._lanes, self._explore = rest, step, trainer.num_envs, explore
        self._act = compiled(self._act_all)

    def of(self, arrays: Any, key: Key[Array, ""]) -> tuple[int, Callable[[Any, np.ndarray], np.ndarray]]:
        """Returns a seed for the lanes, and what takes observations and beginnings to actions."""
        reset_key, play_key = jax.random.split(key)
        words, time, memory = jax.random.key_data(play_key), 0, self._trainer.init_memory()

        def act(observation: Any, first: np.ndarray) -> Any:
            nonlocal memory, time
            action, memory = self._act(arrays, observation, memory, first, words, np.int32(time))
            time += 1
            return to_host(action)

        return seed_of(reset_key), act

    def _act_all(self, arrays, observation, memory, first, words, time):
        state = eqx.combine(arrays, self._rest)
        key = jax.random.fold_in(jax.random.wrap_key_data(words), time)

        def act(observation, memory, key):
            return self._algorithm.act(state, observation, memory, step=self._step, key=key, explore=self._explore)

        memory = where_lanes(first, self._trainer.init_memory(), memory)
        action, _, memory = jax.vmap(act)(observation, memory, lane_keys(key, self._lanes))
        return clip_to(self._spaces.action, action), memory


def _play(
    policy: tuple[int, Callable[[Any, np.ndarray], Any]], lanes: AbstractHostVectorEnv, episodes: int, max_steps: int
) -> Episodes:
    """Plays until every lane has its share of the episodes."""
    seed, act = policy
    observation, first = lanes.reset(seed=seed), np.ones(lanes.num_envs, bool)
    share = episodes // lanes.num_envs + (np.arange(lanes.num_envs) < episodes % lanes.num_envs)
    begin, done = np.cumsum(share) - share, np.zeros(lanes.num_envs, int)
    returns, lengths = np.zeros(lanes.num_envs), np.zeros(lanes.num_envs, np.int32)
    result = Episodes(np.zeros(episodes, np.float32), np.zeros(episodes, np.int32), np.zeros(episodes, bool))  # pyright: ignore[reportArgumentType]
    while (done < share).any():
        outcome = lanes.step(act(observation, first))
        returns += outcome.reward
        lengths += outcome.valid
        ended = outcome.terminated | outcome.truncated
        over = ended | (lengths >= max_steps)
        for lane in np.flatnonzero(over & (done < share)):
            place = begin[lane] + done[lane]
            result.episode_return[place], result.episode_length[place] = returns[lane], lengths[lane]
            result.finished[place] = ended[lane]
        done += over
        returns[over] = lengths[over] = 0
        observation, first = outcome.start, ended | ~outcome.valid
    return result
