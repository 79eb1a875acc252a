"""Adapter for brax."""

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

# What brax 0.14 registers, so that naming them needs no import of brax.
BRAX_NAMES = (
    "ant",
    "fast",
    "halfcheetah",
    "hopper",
    "humanoid",
    "humanoidstandup",
    "inverted_double_pendulum",
    "inverted_pendulum",
    "pusher",
    "reacher",
    "swimmer",
    "walker2d",
)


class BraxEnvironment(AbstractBraxLike):
    """A brax environment without brax's wrappers, whose automatic reset drops the final observation.

    Attributes:
        episode_length: Steps after which an episode is truncated. Where `done` comes on that very step, both hold.
    """

    episode_length: int = eqx.field(static=True)
    _fixed: Fixed = eqx.field(static=True)

    @classmethod
    def of(cls, env: Any, *, episode_length: int = 1000, action_space: "Space[Any] | None" = None) -> "BraxEnvironment":
        """Adapts an environment.

        Args:
            env: A `brax.envs.Env`, without wrappers that reset or count.
            episode_length: Steps after which an episode is truncated.
            action_space: What may be done; None for reals in [−1, 1], as brax's own environments have it.

        Returns:
            The environment behind the library's protocol.

        Raises:
            TypeError: If its observations or its state change their types from step to step.
        """
        return cls._of(env, f"brax's {type(env).__name__}", episode_length, action_space)

    @classmethod
    def named(cls, name: str, *, episode_length: int = 1000, **settings) -> "BraxEnvironment":
        """Makes a registered environment.

        Args:
            name: Such as `ant`.
            episode_length: Steps after which an episode is truncated.
            **settings: Passed to the environment: `backend="spring"`, `"positional"`, `"generalized"` or `"mjx"`.

        Returns:
            The environment.
        """
        with quiet():
            from brax import envs  # pyright: ignore[reportMissingImports]
        if name not in envs._envs:
            raise unknown("brax/", name, envs._envs)
        with quiet():
            return cls.of(envs.get_environment(name, **settings), episode_length=episode_length)

    def frames(self, states: Sequence[ClockedState]) -> list[np.ndarray]:
        """Draws states with MuJoCo's renderer, which needs a GPU driver or OSMesa.

        Raises:
            TypeError: If the environment has no system that MuJoCo knows.
            RuntimeError: If there is nothing to draw on; `html` needs nothing.
        """
        drawn = [state.inner.pipeline_state for state in states]
        return self._pictures(self._drawable(), drawn, ", or draw it as a page")

    def html(self, states: Sequence[ClockedState]) -> str:
        """Draws an episode for a browser, which fetches brax's viewer from the network.

        Raises:
            TypeError: If the environment has no bodies to draw.
        """
        from brax.io import html  # pyright: ignore[reportMissingImports]

        env = self._drawable()
        system = env.sys.tree_replace({"opt.timestep": env.dt})
        return html.render(system, [state.inner.pipeline_state for state in states])

    def _drawable(self) -> Any:
        env = self._fixed.env.unwrapped
        if not hasattr(env, "sys"):
            raise TypeError(f"{self._fixed.name} has no bodies to draw")
        return env
