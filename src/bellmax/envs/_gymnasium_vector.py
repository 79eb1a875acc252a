"""gymnasium's vector environments, whichever way they begin the next episode."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Spaces
from ._host import AbstractHostVectorEnv, HostEnvironmentError, HostStep
from ._host_arrays import Border, replace_lanes

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


class GymnasiumVectorEnv(AbstractHostVectorEnv):
    """A vector environment of the user's own, in any of gymnasium's three autoreset modes.

    Same-step: the true final observation is read from `info["final_obs"]` (`final_observation` before 1.0). Next-step:
    the step after an end only begins the next episode and is marked as not valid. Disabled: ended lanes are reset here.

    Example:
        >>> import gymnasium
        >>> lanes = GymnasiumVectorEnv(gymnasium.make_vec("CartPole-v1", num_envs=2))
        >>> lanes.reset(seed=0).shape
        (2, 4)
    """

    def __init__(self, vector_env: "VectorEnv", *, mode: str | None = None):
        """Takes over a vector environment; `close` closes it.

        Args:
            vector_env: Any `gymnasium.vector.VectorEnv`.
            mode: `SameStep`, `NextStep` or `Disabled`; None for what its metadata says.

        Raises:
            ValueError: If its metadata does not say the mode and no mode is given.
        """
        from gymnasium.vector import AutoresetMode

        mode = mode or (vector_env.metadata or {}).get("autoreset_mode")
        try:
            self._mode = AutoresetMode(mode).name
        except ValueError:
            known = ", ".join(each.value for each in AutoresetMode)
            raise ValueError(f"the autoreset mode of {vector_env} must be one of {known}; got {mode}") from None
        self._env, self.num_envs = vector_env, vector_env.num_envs
        self._border = Border(Spaces(vector_env.single_observation_space, vector_env.single_action_space))
        self.spaces = self._border.spaces
        self._ended = np.zeros(self.num_envs, bool)
        self._last: Any = None
        self._closed = False

    def reset(self, *, seed: int | Sequence[int]) -> Any:
        """Starts an episode in every lane; from one number gymnasium derives the seeds of the lanes itself."""
        seeds: Any = seed if isinstance(seed, int) else list(seed)
        observation, _ = self._env.reset(seed=seeds)
        self._ended = np.zeros(self.num_envs, bool)
        self._last = self._border.batch(observation, self.num_envs)
        return self._last

    def step(self, action: Any) -> HostStep:
        """Takes one action in every lane."""
        seen, reward, terminated, truncated, info = self._env.step(self._border.batched_action(action))
        seen = self._border.batch(seen, self.num_envs)
        reward = self._check_rewards(reward)
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        began = self._ended if self._mode == "NEXT_STEP" else np.zeros(self.num_envs, bool)
        ended = (terminated | truncated) & ~began
        observation = start = seen
        if began.any():
            observation = replace_lanes(seen, began, self._last)
            reward, terminated, truncated = np.where(began, 0, reward), terminated & ~began, truncated & ~began
        if ended.any() and self._mode == "SAME_STEP":
            observation = self._final(seen, ended, info)
        if ended.any() and self._mode == "DISABLED":
            fresh, _ = self._env.reset(options={"reset_mask": ended})
            start = replace_lanes(seen, ended, self._border.batch(fresh, self.num_envs))
        self._ended, self._last = ended, start
        return HostStep(observation, reward, terminated, truncated, start, ~began)

    def close(self) -> None:
        """Closes the vector environment."""
        if not self._closed:
            self._env.close()
        self._closed = True

    def _check_rewards(self, reward: Any) -> np.ndarray:
        reward = np.array(reward, np.float32)
        if reward.shape != (self.num_envs,):
            raise HostEnvironmentError(f"the rewards have shape {reward.shape}; expected {(self.num_envs,)}")
        if not np.isfinite(reward).all():
            lane = int(np.flatnonzero(~np.isfinite(reward))[0])
            raise HostEnvironmentError(f"the reward is {reward[lane]}; it must be finite", lane)
        return reward

    def _final(self, seen: Any, ended: np.ndarray, info: dict[str, Any]) -> Any:
        """Puts the true final observations where an episode ended."""
        final = info.get("final_obs", info.get("final_observation"))
        if final is None:
            raise HostEnvironmentError(
                f"{self._env} resets in the step that ends an episode, but its info has no final_obs"
            )
        observation = self._border.copy(seen)
        for lane in map(int, np.flatnonzero(ended)):
            try:
                self._border.write(observation, lane, _lane_of(final, lane))
            except Exception as error:
                raise HostEnvironmentError(f"final observation: {error!r}", lane) from error
        return observation


def _lane_of(final: Any, lane: int) -> Any:
    """Returns one lane's observation out of an array of observations, or out of a structure of arrays."""
    if isinstance(final, dict):
        return {name: _lane_of(part, lane) for name, part in final.items()}
    if isinstance(final, tuple):
        return tuple(_lane_of(part, lane) for part in final)
    return final[lane]
