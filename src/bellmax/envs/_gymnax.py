"""Adapter for gymnax 1.x."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._core import Spaces
from ._adapter import AbstractAdapter, Fixed, settled, spaces_of
from ._protocol import Step

_CLASSIC = ("Acrobot-v1", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1")
_DRAWN = ("Catch-bsuite", "FourRooms-misc", "MetaMaze-misc", "PointRobot-misc", "Pong-misc")


class GymnaxEnvironment(AbstractAdapter):
    """A gymnax environment without its automatic reset.

    Attributes:
        parameters: The environment's `EnvParams`.
    """

    parameters: Any
    _fixed: Fixed = eqx.field(static=True)

    @classmethod
    def of(cls, env: Any, parameters: Any = None) -> "GymnaxEnvironment":
        """Adapts an environment.

        Args:
            env: A `gymnax.environments.environment.Environment`.
            parameters: Its `EnvParams`; None for its own defaults.

        Returns:
            The environment behind the library's protocol.

        Raises:
            TypeError: If the types of its state change from step to step in a way that cannot be mended, or if what it
                shows does not fit its spaces.
        """
        from gymnax.environments.spaces import gymnax_space_to_gym_space as convert

        parameters = env.default_params if parameters is None else parameters
        spaces = spaces_of(
            env.name,
            lambda: Spaces(convert(env.observation_space(parameters)), convert(env.action_space(parameters))),
        )
        return settled(cls(parameters, Fixed(env, spaces, env.name)))

    @classmethod
    def named(cls, name: str, **settings) -> "GymnaxEnvironment":
        """Makes a registered environment.

        Args:
            name: Such as `CartPole-v1`.
            **settings: Passed to `gymnax.make`.

        Returns:
            The environment.
        """
        import gymnax

        return cls.of(*gymnax.make(name, **settings))

    def _begin(self, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        observation, state = self._fixed.env.reset_env(key, self.parameters)
        return state, observation

    def _advance(self, state: Any, action: PyTree[Array], key: Key[Array, ""]) -> tuple[Any, Step]:
        env = self._fixed.env
        observation, state, reward, terminated, info = env.step_env(key, state, action, self.parameters)
        return state, Step(observation, reward, terminated, env.is_truncated(state, self.parameters), info)

    def frames(self, states: Sequence[Any]) -> list[np.ndarray]:
        """Draws states: classic control as gymnasium does, which takes pygame, MinAtar and a few more with matplotlib.

        Raises:
            TypeError: If gymnax cannot draw this environment.
            RuntimeError: If pygame is needed and not installed.
        """
        name = self._fixed.env.name
        if name in _CLASSIC:
            return _draw_classic(name, states, self.parameters)
        if name in _DRAWN or name.endswith("-MinAtar"):
            return _draw(self._fixed.env, states, self.parameters)
        return super().frames(states)


def gymnax_names() -> list[str]:
    """Lists the environments that gymnax registers."""
    import gymnax

    return list(gymnax.registered_envs)


def _draw_classic(name: str, states: Sequence[Any], parameters: Any) -> list[np.ndarray]:
    import gymnasium
    from gymnax.visualize import vis_gym

    if "pygame" not in sys.modules:  # it looks for a screen otherwise
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    env = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True)
    try:
        env.reset()
        inner: Any = env.unwrapped
        vis_gym.set_gym_params(inner, name, parameters)
        frames = []
        for state in states:
            inner.state = vis_gym.get_gym_state(state, name)
            if name == "Pendulum-v1":
                inner.last_u = np.asarray(state.last_u, np.float64)
            frames.append(np.asarray(inner.render()))
        return frames
    except gymnasium.error.DependencyNotInstalled as error:
        raise RuntimeError(f'{name} is drawn with pygame: pip install "bellmax[viz]" ({error})') from error
    finally:
        env.close()


def _draw(env: Any, states: Sequence[Any], parameters: Any) -> list[np.ndarray]:
    import io

    from gymnax.visualize import Visualizer

    drawing = Visualizer(env, parameters, list(states))
    try:
        drawing.init()
        frames = []
        for index in range(len(states)):
            drawing.update(index)
            width, height = drawing.fig.canvas.get_width_height()
            with io.BytesIO() as buffer:
                drawing.fig.savefig(buffer, format="rgba", dpi=drawing.fig.dpi)
                pixels = np.frombuffer(buffer.getvalue(), np.uint8)
            frames.append(pixels.reshape(height, width, 4)[..., :3].copy())
        return frames
    finally:
        drawing.fig.clear()
