"""Training on environments that are not JAX: the loop."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._core import Mean
from ..envs import AbstractHostVectorEnv, HostStep
from ..training import TrainState, run_keys
from ._host_rollout import Rollout
from ._host_trainer import HostTrainer
from ._workers import open_lanes

_FIELDS = ("observation", "action", "reward", "next_observation", "terminated", "truncated", "extras")


class HostLoop:
    """One run of a `HostTrainer`; a context manager, since environments and their processes must end.

    Attributes:
        trainer: What runs.
        lanes: The environments.

    Example:
        >>> from bellmax import algorithms, envs
        >>> trainer = HostTrainer(algorithms.PPO(rollout_length=8), envs.GymnasiumEnvironment("CartPole-v1"), 4)
        >>> with HostLoop(trainer, jax.random.key(0)) as loop:
        ...     loop.step()
        ...     int(loop.state.shared.steps)
        32
    """

    lanes: AbstractHostVectorEnv

    def __init__(self, trainer: HostTrainer, key: Key[Array, ""]):
        """Starts the environments and draws the networks.

        Args:
            trainer: What to run.
            key: Everything random comes from it, the seeds of the lanes included.
        """
        self.trainer, self._programs = trainer, trainer.programs
        self._learned, self._key, self._keys = self._programs.start(key)
        self._memory = trainer.init_memory()
        self._first = np.ones(trainer.num_envs, bool)
        self._returns, self._lengths = np.zeros(trainer.num_envs), np.zeros(trainer.num_envs)
        self._finished = np.zeros(3)  # sum of returns, sum of lengths, count
        _, reset_key, _ = run_keys(key)
        self._stack = contextlib.ExitStack()
        environment = self._stack.enter_context(opened(trainer)).environment
        assert isinstance(environment, AbstractHostVectorEnv)
        self.lanes = environment
        try:
            self._observation = self.lanes.reset(seed=seed_of(reset_key))
        except BaseException:
            self.close()
            raise

    def step(self) -> None:
        """Acts for a rollout and learns from it."""
        rollout, memory = self._collect()
        fields = dict(zip(_FIELDS, rollout.fields(), strict=True))
        # Where a lane went on, its next step is not what its last one led to: no sequence may cross that.
        fields["truncated"][-1] |= rollout.left_out & ~fields["terminated"][-1]
        self._learned, self._keys = self._programs.learn(self._learned, self._key, self._keys.learn, fields, memory)

    @property
    def state(self) -> TrainState:
        """The state after the last update that finished: a copy, since the next step reuses its memory."""
        state = self._programs.state(self._learned, jax.random.wrap_key_data(self._key))
        return jax.tree.map(jnp.copy, state)

    def take_metrics(self) -> dict[str, Mean]:
        """Returns the metrics since this was last called."""
        returns, lengths, count = map(jnp.asarray, self._finished.astype(np.float32))
        episodes = {"episode_return": Mean(returns, count), "episode_length": Mean(lengths, count)}
        updates = jax.device_get(self._programs.metrics(self._learned))
        self._learned = self._learned._replace(totals=self._programs.zero_totals())
        self._finished = np.zeros(3)
        return episodes | updates

    def close(self) -> None:
        """Ends the environments and their processes, unless they are the user's own."""
        self._stack.close()

    def __enter__(self) -> "HostLoop":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _collect(self) -> tuple[Rollout, Any]:
        """Acts until every lane has its transitions; returns them and the memory before each lane's first."""
        length = self.trainer.algorithm.requirements.rollout_length
        rollout, kept, time, keys = Rollout(length, self.trainer.num_envs), self._memory, 0, self._keys.act
        act, remembers = self._programs.act, self._programs.has_memory
        first = unfilled = None
        while not rollout.full:
            if time and time % length == 0:
                keys = self._programs.more_keys(self._keys.collect, time // length)
            if remembers:
                first, unfilled = self._first, rollout.unfilled
            action, border, extras, self._memory, kept = act(
                self._learned.shared, self._observation, self._memory, kept, first, unfilled, keys, np.int32(time)
            )
            action = to_host(action)
            outcome = self.lanes.step(action if border is None else to_host(border))
            rollout.add(
                (
                    self._observation,
                    action,
                    outcome.reward,
                    outcome.observation,
                    outcome.terminated,
                    outcome.truncated,
                    to_host(extras),
                ),
                outcome.valid,
            )
            self._observation = outcome.start
            self._count(outcome)
            time += 1
        return rollout, kept

    def _count(self, outcome: HostStep) -> None:
        self._returns += outcome.reward
        self._lengths += outcome.valid
        ended = outcome.terminated | outcome.truncated
        if np.count_nonzero(ended):
            self._finished += self._returns[ended].sum(), self._lengths[ended].sum(), ended.sum()
            self._returns[ended] = self._lengths[ended] = 0
        if self._programs.has_memory:
            self._first = ended | ~outcome.valid


@contextlib.contextmanager
def opened(trainer: HostTrainer) -> Iterator[HostTrainer]:
    """Starts a trainer's environments, so that several runs share them; lanes that are there already stay so.

    Args:
        trainer: Whose environments.

    Yields:
        The trainer with lanes for its environment; they end with the context.
    """
    if isinstance(trainer.environment, AbstractHostVectorEnv):
        yield trainer
        return
    lanes = open_lanes(trainer.environment, trainer.num_envs, trainer.workers)
    try:
        yield dataclasses.replace(trainer, environment=lanes, workers=0)
    finally:
        lanes.close()


def to_host(tree: Any) -> Any:
    """Returns NumPy arrays; one array and None, the common cases, without the cost of JAX's walk."""
    if tree is None or isinstance(tree, jax.Array):
        return tree if tree is None else np.asarray(tree)
    return jax.tree.map(np.asarray, tree)


def seed_of(key: Key[Array, ""]) -> int:
    """Makes a seed for environments outside JAX out of a key."""
    return int(jax.random.bits(key, (), "uint32"))
