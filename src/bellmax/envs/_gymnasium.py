"""gymnasium, one environment a lane."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Spaces
from ._host import AbstractHostEnvironment, AbstractHostVectorEnv, HostEnvironmentError, HostStep, lane_seeds
from ._host_arrays import Border

if TYPE_CHECKING:
    import gymnasium


def gymnasium_names() -> list[str]:
    """Lists what gymnasium has registered; what registers itself on import (ale_py, say) is there once imported."""
    import gymnasium

    return [name for name, spec in gymnasium.registry.items() if isinstance(spec.entry_point, str)]


class GymnasiumEnvironment(AbstractHostEnvironment):
    """An environment of gymnasium, Atari games included where `ale_py` is installed.

    Example:
        >>> lanes = GymnasiumEnvironment("CartPole-v1").start(2)
        >>> lanes.reset(seed=0).shape
        (2, 4)
        >>> lanes.step(np.array([0, 1])).reward
        array([1., 1.], dtype=float32)
    """

    def __init__(self, name: str, **settings):
        """Names an environment.

        Args:
            name: As gymnasium registers it, such as `CartPole-v1` or `ALE/Pong-v5`.
            **settings: Passed to `gymnasium.make`.

        Raises:
            ValueError: If there is no such environment, or it lacks a package; the message is gymnasium's.
            TypeError: If a space has no fixed shape.
        """
        self._factory, self._name, self._settings = None, name, settings
        self._read_spaces()

    @classmethod
    def of(cls, factory: "Callable[[], gymnasium.Env]") -> "GymnasiumEnvironment":
        """Wraps environments of the user's own.

        Args:
            factory: Makes one environment. To be sent to worker processes it must pickle: a class or a function of a
                module, or a `functools.partial` of one.

        Returns:
            The environment.
        """
        self = cls.__new__(cls)
        self._factory, self._name, self._settings = factory, getattr(factory, "__name__", str(factory)), {}
        self._read_spaces()
        return self

    def start(self, num_envs: int) -> "GymnasiumLanes":
        """Makes the environments of some lanes, in this process."""
        return GymnasiumLanes([self._make() for _ in range(num_envs)])

    def __repr__(self) -> str:
        return f"GymnasiumEnvironment({self._name})"

    @property
    def outer_spaces(self) -> Spaces:
        """The spaces as Gymnasium has them."""
        return self._outer_spaces

    def _read_spaces(self):
        env = self._make()
        try:
            self._outer_spaces = Spaces(env.observation_space, env.action_space)
            self.spaces = Border(self._outer_spaces).spaces
        finally:
            env.close()

    def _make(self) -> "gymnasium.Env":
        if self._factory is not None:
            return self._factory()
        import gymnasium

        try:
            if self._name.startswith("ALE/"):
                import ale_py  # pyright: ignore[reportMissingImports]

                gymnasium.register_envs(ale_py)
            return gymnasium.make(self._name, disable_env_checker=True, **self._settings)
        except ModuleNotFoundError as error:
            raise ValueError(f"gymnasium/{self._name} needs {error.name}: pip install {error.name}") from error
        except gymnasium.error.Error as error:
            raise ValueError(f"gymnasium cannot make {self._name}: {error}") from error


class GymnasiumLanes(AbstractHostVectorEnv):
    """Steps environments one after another, and begins the next episode in the very step that ends one."""

    def __init__(self, envs: "Sequence[gymnasium.Env]"):
        """Takes over environments; `close` closes them.

        Args:
            envs: One a lane, all with the same spaces.
        """
        self._envs, self.num_envs = list(envs), len(envs)
        self._border = Border(Spaces(envs[0].observation_space, envs[0].action_space))
        self.spaces = self._border.spaces

    def reset(self, *, seed: int | Sequence[int]) -> Any:
        """Starts an episode in every lane."""
        seeds = lane_seeds(seed, self.num_envs) if isinstance(seed, int) else seed
        observation = self._border.allocate(self.num_envs)
        for lane, (env, each) in enumerate(zip(self._envs, seeds, strict=True)):
            try:
                self._border.write(observation, lane, env.reset(seed=each)[0])
            except Exception as error:
                raise HostEnvironmentError(f"at reset: {error!r}", lane) from error
        return observation

    def step(self, action: Any) -> HostStep:
        """Takes one action in every lane."""
        count, border, lane = self.num_envs, self._border, 0
        observation, rewards, terminated, truncated = border.allocate(count), [], [], []
        try:
            for lane, (env, each) in enumerate(zip(self._envs, border.actions(action), strict=True)):
                successor, reward, end, cut, _ = env.step(each)
                border.write(observation, lane, successor)
                rewards.append(reward := float(reward))
                terminated.append(bool(end))
                truncated.append(bool(cut))
                if reward - reward != 0:
                    raise ValueError(f"the reward is {reward}; it must be finite")
        except Exception as error:
            raise HostEnvironmentError(repr(error), lane) from error
        start = observation
        if True in terminated or True in truncated:
            start = self._start_anew(observation, [end or cut for end, cut in zip(terminated, truncated, strict=True)])
        return HostStep(
            observation,
            np.array(rewards, np.float32),
            np.array(terminated, bool),
            np.array(truncated, bool),
            start,
            np.ones(count, bool),
        )

    def close(self) -> None:
        """Closes every environment."""
        while self._envs:
            self._envs.pop().close()

    def _start_anew(self, observation: Any, ended: list[bool]) -> Any:
        start = self._border.copy(observation)
        for lane, each in enumerate(ended):
            if each:
                try:
                    self._border.write(start, lane, self._envs[lane].reset()[0])
                except Exception as error:
                    raise HostEnvironmentError(f"at reset: {error!r}", lane) from error
        return start
