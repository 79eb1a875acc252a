"""A trained agent, read back from its run folder."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._core import Counter, Spaces, clip_to
from ..envs import AbstractHostEnvironment
from ..training import Trainer
from ._arrays import is_shaped, load_arrays
from ._configuration import Configuration, UsageError
from ._folder import RunFolder, saved_part, seed_keys, seeds_of
from ._host_trainer import HostTrainer
from ._policy import Policy, moved


@dataclasses.dataclass(frozen=True)
class Agent:
    """A trained agent, loaded from a run folder.

    Attributes:
        configuration: What it was trained with.
        trainer: Its algorithm and environment.
        state: The algorithm's state; every array has a leading axis of seeds.
        steps: Environment steps that it was trained for.
    """

    configuration: Configuration
    trainer: Trainer | HostTrainer
    state: Any
    steps: int

    @property
    def seeds(self) -> int:
        """Number of seeds that are there."""
        return seeds_of(self.state)

    def policy(self, seed: int = 0) -> Policy:
        """Returns one seed's policy, a pure function that needs neither the run folder nor the environment.

        Args:
            seed: Which, from 0.

        Raises:
            UsageError: If the run has no such seed.
        """
        if not 0 <= seed < self.seeds:
            raise UsageError(f"the run has seeds 0 to {self.seeds - 1}; got {seed}")
        state = jax.tree.map(lambda leaf: leaf[seed] if eqx.is_array(leaf) else leaf, self.state)
        algorithm, spaces = self.trainer.algorithm, self.trainer.environment.spaces
        step = jnp.asarray(self.steps, float)
        return Policy(algorithm, state, algorithm.init_memory(spaces), step, *self._border)

    @property
    def spaces(self) -> Spaces:
        """The spaces of what a policy takes and gives: those of the environment, also where that is outside JAX."""
        environment = self.trainer.environment
        return environment.outer_spaces if isinstance(environment, AbstractHostEnvironment) else environment.spaces

    @functools.cached_property
    def _border(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        # The same functions for all seeds: policies are stacked only if they are alike in all that is no array.
        seen, outer = self.trainer.environment.spaces, self.spaces

        def inward(observation):
            return moved(observation, outer.observation, seen.observation)

        def outward(action):
            return moved(clip_to(seen.action, action), seen.action, outer.action)

        return inward, outward


def load_agent(run: str | Path) -> Agent:
    """Loads the agent of a run folder.

    Args:
        run: The folder.

    Returns:
        The agent, without seeds that never began. `agent.policy(seed)` is the policy of one of the others.

    Raises:
        UsageError: If the folder is no run folder, or holds no agent that fits its configuration.

    A run that was killed has no agent of its own yet; then it is that of its last checkpoint.
    """
    folder = RunFolder(Path(run))
    configuration = folder.configuration()
    trainer = configuration.trainer()
    expected = eqx.filter_eval_shape(jax.vmap(trainer.init), seed_keys(configuration))
    saved = _load_saved_part(folder, configuration, saved_part(expected))
    rest = eqx.filter(expected.shared.algorithm, is_shaped, inverse=True)
    steps = [int(Counter(*words)) for words in zip(saved["steps"].high, saved["steps"].low, strict=True)]
    begun = np.flatnonzero(steps)
    if 0 < len(begun) < len(steps):
        warnings.warn(
            f"{folder.path}: the run ended before all seeds began; {len(begun)} of {len(steps)} are loaded",
            stacklevel=2,
        )
        saved["algorithm"] = jax.tree.map(lambda leaf: leaf[begun], saved["algorithm"])
    return Agent(configuration, trainer, eqx.combine(saved["algorithm"], rest), max(steps))


def _load_saved_part(folder: RunFolder, configuration: Configuration, expected: Any) -> Any:
    """Loads `agent/`, or where a run was killed before that was written, the agent of its last checkpoint."""
    if (folder.path / "agent").is_dir():
        return load_arrays(folder.path / "agent", expected)
    if not (folder.path / "checkpoints").is_dir():
        raise UsageError(f"{folder.path} holds no agent: the run did not come to its first save")
    checkpoint, wrong = folder.checkpoints(configuration).newest_good()
    if wrong:
        warnings.warn(f"{wrong[0]}; the agent is of {checkpoint.path}", stacklevel=3)
    return checkpoint.load({"state": {"shared": expected}}, part=True)["state"]["shared"]
