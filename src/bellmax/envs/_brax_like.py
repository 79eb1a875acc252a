"""What brax and MuJoCo Playground share: an environment with one `done` and no clock."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._core import Spaces
from ._adapter import AbstractAdapter, Fixed, raw_key, settled
from ._clock import ClockedState
from ._protocol import Step

if TYPE_CHECKING:
    from gymnasium import Space


class AbstractBraxLike(AbstractAdapter):
    """An environment whose `done` is a termination, with a time limit counted here.

    Attributes:
        episode_length: Steps after which an episode is truncated. Where `done` comes on that very step, both hold.
    """

    episode_length: eqx.AbstractVar[int]

    @classmethod
    def _of(cls, env: Any, name: str, episode_length: int, action_space: "Space[Any] | None") -> Self:
        if episode_length < 1:
            raise ValueError(f"{name}: episode_length must be at least 1; got {episode_length}")
        observation = jax.eval_shape(lambda: env.reset(jax.random.key_data(jax.random.key(0)))).obs
        spaces = Spaces(_unbounded(observation), _reals(env.action_size) if action_space is None else action_space)
        return settled(cls(episode_length=episode_length, _fixed=Fixed(env, spaces, name)))

    def _begin(self, key: Key[Array, ""]) -> tuple[ClockedState, PyTree[Array]]:
        state = self._fixed.env.reset(raw_key(key))
        return ClockedState(state, jnp.zeros((), jnp.int32)), state.obs

    def _advance(self, state: ClockedState, action: PyTree[Array], key: Key[Array, ""]) -> tuple[ClockedState, Step]:
        del key  # what is random in a step comes from the state
        inner, time = self._fixed.env.step(state.inner, action), state.time + 1
        step = Step(inner.obs, inner.reward, inner.done > 0, time >= self.episode_length, dict(inner.metrics))
        return ClockedState(inner, time), step

    def _pictures(self, env: Any, states: list[Any], otherwise: str = "") -> list[np.ndarray]:
        try:
            return [np.asarray(each) for each in env.render(states)]
        except Exception as error:  # of every kind, by the driver that is missing
            raise RuntimeError(
                f"{self._fixed.name}: MuJoCo found nothing to draw on ({error}); set MUJOCO_GL to egl or osmesa"
                f"{otherwise}"
            ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what brax, and jaxopt on which it depends, say at every use: that they are no longer developed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "JAXopt is no longer maintained", DeprecationWarning)
        warnings.filterwarnings("ignore", "Brax System, piplines and environments are not actively", UserWarning)
        yield


def _unbounded(observation: PyTree) -> "Space[Any]":
    from gymnasium import spaces

    if isinstance(observation, dict):
        return spaces.Dict({name: _unbounded(part) for name, part in observation.items()})
    return spaces.Box(-np.inf, np.inf, observation.shape, observation.dtype)


def _reals(size: int) -> "Space[Any]":
    from gymnasium import spaces

    return spaces.Box(-1.0, 1.0, (size,), np.float32)
