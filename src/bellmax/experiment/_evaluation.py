"""The return of a trained agent, with an interval."""

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ..training import Episodes, Trainer, evaluate
from ._compile import compiled
from ._folder import RunFolder, seeds_of
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
    keys = evaluation_keys(key, seeds_of(state))
    step = jnp.asarray(steps, float)
    if isinstance(trainer, HostTrainer):
        played = evaluate_on_host(trainer, state, step=step, keys=keys, episodes=episodes, explore=sampled)
    else:
        played = player(trainer, state, episodes=episodes, explore=sampled)(state, keys, step)
    return summary(played, key=key, sampled=sampled)


def read_evaluation(folder: RunFolder) -> Evaluation | None:
    """Reads `evaluation.json`; None where there is none that can be read. Null is not a number there."""
    try:
        figures = json.loads((folder.path / "evaluation.json").read_text())
        figures |= {name: _number(figures[name]) for name in ("mean", "low", "high")}
        return Evaluation(**figures | {"seed_means": [_number(mean) for mean in figures["seed_means"]]})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def evaluation_keys(key: int, seeds: int) -> Key[Array, " seeds"]:
    """Returns the key of each seed's episodes."""
    stream = jax.random.fold_in(jax.random.key(key), _EVALUATION_STREAM)
    return jax.vmap(jax.random.fold_in, (None, 0))(stream, jnp.arange(seeds))


def summary(played: Episodes, *, key: int, sampled: bool = False) -> Evaluation:
    """Makes the figures out of the episodes of some seeds; `key` is that of `evaluate_agent`."""
    returns = np.asarray(played.episode_return, np.float64)
    seeds, episodes = returns.shape
    means = returns.mean(axis=1)
    low, high = bootstrap_interval(means if seeds > 1 else returns[0], seed=key)
    unfinished = int(np.sum(~np.asarray(played.finished)))
    return Evaluation(
        float(means.mean()), low, high, episodes, seeds, unfinished, sampled, key, [float(mean) for mean in means]
    )


def player(trainer: Trainer, like: Any, *, episodes: int, explore: bool = False) -> Callable[..., Episodes]:
    """Returns what plays with many policies in one compiled program.

    Args:
        trainer: Its algorithm and environment.
        like: An algorithm's state, for what in it is no array.
        episodes: Episodes of each policy.
        explore: Whether to sample the policy; else its mode is taken.

    Returns:
        A function of the states, the keys, the count of environment steps and the knobs, or None; all but the count
        have a leading axis of policies.
    """
    rest = eqx.filter(like, eqx.is_array, inverse=True)

    def play(arrays, key, step, knobs):
        algorithm, state = trainer.with_knobs(knobs).algorithm, eqx.combine(arrays, rest)
        return evaluate(algorithm, trainer.environment, state, step=step, key=key, episodes=episodes, explore=explore)

    program = compiled(jax.vmap(play, (0, 0, None, 0)))
    return lambda state, keys, step, knobs=None: program(eqx.filter(state, eqx.is_array), keys, step, knobs)
