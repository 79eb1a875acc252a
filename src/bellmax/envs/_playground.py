"""Adapter for MuJoCo Playground."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

from ._adapter import Fixed
from ._brax_like import AbstractBraxLike, quiet
from ._clock import ClockedState
from ._registry import unknown

if TYPE_CHECKING:
    from gymnasium import Space

# The control suite of playground 0.2, which comes with the package, so that naming it needs no import.
PLAYGROUND_NAMES = (
    "AcrobotSwingup",
    "AcrobotSwingupSparse",
    "BallInCup",
    "CartpoleBalance",
    "CartpoleBalanceSparse",
    "CartpoleSwingup",
    "CartpoleSwingupSparse",
    "CheetahRun",
    "FingerSpin",
    "FingerTurnEasy",
    "FingerTurnHard",
    "FishSwim",
    "HopperHop",
    "HopperStand",
    "HumanoidRun",
    "HumanoidStand",
    "HumanoidWalk",
    "PendulumSwingup",
    "PointMass",
    "ReacherEasy",
    "ReacherHard",
    "SwimmerSwimmer6",
    "WalkerRun",
    "WalkerStand",
    "WalkerWalk",
)


class PlaygroundEnvironment(AbstractBraxLike):
    """A MuJoCo Playground environment without its wrappers.

    Attributes:
        episode_length: Steps after which an episode is truncated. Where `done` comes on that very step, both hold.
    """

    episode_length: int = eqx.field(static=True)
    _fixed: Fixed = eqx.field(static=True)

    @classmethod
    def of(
        cls, env: Any, *, episode_length: int | None = None, action_space: "Space[Any] | None" = None
    ) -> "PlaygroundEnvironment":
        """Adapts an environment.

        Args:
            env: A `mujoco_playground.MjxEnv`, without wrappers.
            episode_length: Steps after which an episode is truncated; None for what its configuration says.
            action_space: What may be done; None for reals in [−1, 1].

        Returns:
            The environment behind the library's protocol.

        Raises:
            TypeError: If its observations or its state change their types from step to step.
            ValueError: If its configuration has no `episode_length` and none is given.
        """
        name = f"playground's {type(env).__name__}"
        limit = getattr(env, "_config", {}).get("episode_length") if episode_length is None else episode_length
        if limit is None:
            raise ValueError(f"{name}: its configuration has no episode_length; pass one")
        return cls._of(env, name, int(limit), action_space)

    @classmethod
    def named(cls, name: str, **settings) -> "PlaygroundEnvironment":
        """Makes a registered environment.

        Args:
            name: Such as `CartpoleBalance`.
            **settings: Entries of its configuration, such as `episode_length=500`; `impl` is `jax` unless given.

        Returns:
            The environment.

        Raises:
            ValueError: If there is no such environment.
            RuntimeError: If its robot is not on this machine and cannot be fetched.
        """
        with quiet():
            from mujoco_playground import registry  # pyright: ignore[reportMissingImports]
        if name not in registry.ALL_ENVS:
            raise unknown("playground/", name, registry.ALL_ENVS)
        try:
            env = registry.load(name, config_overrides={"impl": "jax"} | settings)
        except Exception as error:
            if name in PLAYGROUND_NAMES:
                raise
            raise RuntimeError(
                f"playground/{name} needs the robots of mujoco_menagerie, which the package clones with git when they "
                f"are first asked for; that failed: {error}"
            ) from error
        return cls.of(env)

    def frames(self, states: Sequence[ClockedState]) -> list[np.ndarray]:
        """Draws states with MuJoCo's renderer, which needs a GPU driver or OSMesa.

        Raises:
            RuntimeError: If there is nothing to draw on.
        """
        return self._pictures(self._fixed.env, [state.inner for state in states])
