"""The return of a trained agent, with an interval."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..training import Episodes, Trainer, evaluate
from ._compile import compiled
from ._folder import seeds_of
from ._host_evaluate import evaluate_on_host
from ._host_trainer import HostTrainer
from ._statistics import bootstrap_interval

_EVALUATION_STREAM = 2**32 - 1
"""Folded into the key first: seeds of training fold in their own numbers, which never come this far."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What evaluation found.

    Attributes:
        mean: Mean over seeds of each seed's mean return.
        low: Lower end of the 95 % bootstrap interval: over seeds, or over episodes where there is one seed.
        high: Upper end.
        episodes: Episodes of each seed.
        seeds: Number of seeds.
        unfinished: Episodes, over all seeds, that were cut before they ended.
        sampled: Whether the policy was sampled; else its mode was taken.
        key: Number from which the episodes' randomness came.
        seed_means: Mean return of each seed.
    """

    mean: float
    low: float
    high: float
    episodes: int
    seeds: int
    unfinished: int
    sampled: bool
    key: int
    seed_means: list[float]

    def __str__(self) -> str:
        over = f"{self.seeds} seeds" if self.seeds > 1 else "1 seed"
        policy = "sampled" if self.sampled else "deterministic"
        text = (
            f"return {self.mean:.1f}, 95 % interval {self.low:.1f} to {self.high:.1f} "
            f"({over}, {self.episodes} episodes each, {policy} policy)"
        )
        return text + (
            f"; {self.unfinished} episodes did not end and count as far as they came" * (self.unfinished > 0)
        )


def evaluate_agent(
    trainer: Trainer | HostTrainer, state: Any, *, steps: int, key: int = 0, episodes: int = 128, sampled: bool = False
) -> Evaluation:
    """Plays whole episodes with each seed's policy.

    Args:
        trainer: Its algorithm and environment.
        state: The algorithm's state; every array has a leading axis of seeds.
        steps: Environment steps that it was trained for, for schedules of exploration.
        key: Number from which all randomness comes; the same gives the same figures.
        episodes: Episodes of each seed.
        sampled: Whether to sample the policy as in training; else its mode is taken.

    Returns:
        The figures.
    """
    seeds = seeds_of(state)
    stream = jax.random.fold_in(jax.random.key(key), _EVALUATION_STREAM)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(stream, jnp.arange(seeds))
    step = jnp.asarray(steps, float)
    if isinstance(trainer, HostTrainer):
        played = evaluate_on_host(trainer, state, step=step, keys=keys, episodes=episodes, explore=sampled)
    else:
        played = _evaluate_seeds(trainer, state, step=step, keys=keys, episodes=episodes, explore=sampled)
    returns = np.asarray(played.episode_return, np.float64)
    means = returns.mean(axis=1)
    low, high = bootstrap_interval(means if seeds > 1 else returns[0], seed=key)
    unfinished = int(np.sum(~np.asarray(played.finished)))
    return Evaluation(
        float(means.mean()), low, high, episodes, seeds, unfinished, sampled, key, [float(mean) for mean in means]
    )


def _evaluate_seeds(trainer: Trainer, state: Any, *, step, keys, episodes: int, explore: bool) -> Episodes:
    """Plays with all seeds' policies in one compiled program."""
    arrays, rest = eqx.partition(state, eqx.is_array)

    @compiled
    @jax.vmap
    def play(arrays, key):
        return evaluate(
            trainer.algorithm,
            trainer.environment,
            eqx.combine(arrays, rest),
            step=step,
            key=key,
            episodes=episodes,
            explore=explore,
        )

    return play(arrays, keys)
