"""One episode of an agent, played and drawn."""

import contextlib
import functools
import importlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key

from .. import envs
from ..envs import AbstractEnvironment, AbstractHostEnvironment, GymnasiumEnvironment
from ._agent import Agent
from ._compile import compiled
from ._configuration import UsageError
from ._files import write_whole
from ._host_loop import seed_of
from ._policy import Policy

_RENDER_STREAM = 2**32 - 2
"""Folded into the key first, as the stream of evaluation is."""


def draw_episode(agent: Agent, seed: int, key: int, max_steps: int, out: Path, fps: int) -> np.ndarray:
    """Plays one episode with an agent, taking the policy's mode, and writes it.

    Args:
        agent: Whose.
        seed: Which member plays.
        key: Number from which the episode's randomness comes.
        max_steps: The episode is cut after so many steps.
        out: Ends in `.gif`, `.mp4` or `.html`.
        fps: Pictures a second.

    Returns:
        The rewards.

    Raises:
        UsageError: If the environment cannot be drawn so, or that seed is not there.
    """
    if out.suffix != ".html":
        frames, rewards = film_episode(agent, seed, key, max_steps)
        with _explained(agent, ".gif"):
            write_frames(frames, out, fps)
        return rewards
    player, environment = _Player(agent.policy(seed)), agent.trainer.environment
    with _explained(agent, ".html"):
        if not isinstance(environment, AbstractEnvironment):
            raise TypeError("--out episode.gif draws pictures")
        states, rewards = _play(environment, player, _stream(key), max_steps)
        page = environment.html(states)
    write_whole(out, lambda file: file.write_text(page))
    return rewards


def film_episode(
    agent: Agent, seed: int, key: int, max_steps: int, most: int | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Plays one episode as `draw_episode` does and returns pictures of it and its rewards.

    Args:
        agent: Whose.
        seed: Which member plays.
        key: Number from which the episode's randomness comes.
        max_steps: The episode is cut after so many steps.
        most: How many pictures at most, evenly spaced; None for all.

    Raises:
        UsageError: As `draw_episode`.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame looks for a screen and a loudspeaker
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    player, environment = _Player(agent.policy(seed)), agent.trainer.environment
    with _explained(agent, ".gif"):
        if isinstance(environment, AbstractEnvironment):
            states, rewards = _play(environment, player, _stream(key), max_steps)
            return environment.frames(_spaced(states, most)), rewards
        drawn = envs.make(agent.configuration.environment, render_mode="rgb_array")
        frames, rewards = _play_on_host(drawn, player, _stream(key), max_steps)
        return _spaced(frames, most), rewards


def _stream(key: int) -> Key[Array, ""]:
    return jax.random.fold_in(jax.random.key(key), _RENDER_STREAM)


def _spaced(items: list[Any], most: int | None) -> list[Any]:
    """Leaves out all but every second, third, ... and keeps the last."""
    every = 1 if most is None else -(-len(items) // most)
    return [item for place, item in enumerate(items) if (len(items) - 1 - place) % every == 0]


@contextlib.contextmanager
def _explained(agent: Agent, suffix: str) -> Iterator[None]:
    """Says which environment was not drawn, and why."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        name = agent.configuration.environment
        raise UsageError(f"{name} was not drawn: {error}{_hint(agent.trainer.environment, suffix)}") from error


def _hint(environment: Any, suffix: str) -> str:
    """Says which other kind of file this environment can be drawn to."""
    kind = type(environment)
    if not isinstance(environment, AbstractEnvironment):
        return ""
    if suffix == ".html" and kind.frames is not AbstractEnvironment.frames:
        return "; --out episode.gif draws pictures"
    if suffix != ".html" and kind.html is not AbstractEnvironment.html:
        return "; --out episode.html draws a page"
    return ""


class _Player:
    """One seed's policy, its mode, compiled; it keeps the memory of one episode."""

    def __init__(self, policy: Policy):
        arrays, rest = eqx.partition(policy, eqx.is_array)
        act = compiled(lambda arrays, *now, key: eqx.combine(arrays, rest)(*now, key=key))
        self._act = functools.partial(act, arrays)
        self._memory = policy.initial_memory

    def __call__(self, observation: Any, key: Key[Array, ""]) -> Any:
        """Chooses the next action of the episode."""
        action, self._memory = self._act(observation, self._memory, key=key)
        return action


def _play(environment: AbstractEnvironment, player: _Player, key: Key[Array, ""], max_steps: int):
    """Plays one episode and returns its states, the last one included, and its rewards."""
    reset_key, play_key = jax.random.split(key)
    step = compiled(lambda state, action, key: environment.step(state, action, key=key))
    state, observation = compiled(lambda key: environment.reset(key=key))(reset_key)
    states, rewards = [state], []
    for time in range(max_steps):
        act_key, step_key = jax.random.split(jax.random.fold_in(play_key, time))
        state, outcome = step(state, player(observation, act_key), step_key)
        observation = outcome.observation
        states.append(state)
        rewards.append(float(outcome.reward))
        if outcome.terminated or outcome.truncated:
            break
    return states, np.array(rewards)


def _play_on_host(environment: Any, player: _Player, key: Key[Array, ""], max_steps: int):
    """Plays one episode outside JAX and returns its pictures, the last one included, and its rewards."""
    frames: list[np.ndarray] = []
    lanes = _with_camera(environment, frames).start(1)
    try:
        reset_key, play_key = jax.random.split(key)
        observation = lanes.reset(seed=seed_of(reset_key))
        rewards = []
        for time in range(max_steps):
            one = jax.tree.map(lambda leaf: leaf[0], observation)
            action = player(one, jax.random.fold_in(play_key, time))
            outcome = lanes.step(jax.tree.map(lambda leaf: np.asarray(leaf)[None], action))
            observation = outcome.start
            rewards.append(float(outcome.reward[0]))
            if outcome.terminated[0] or outcome.truncated[0]:
                frames.pop()  # the first one of the next episode
                break
    finally:
        lanes.close()
    return frames, np.array(rewards)


def _with_camera(environment: Any, frames: list[np.ndarray]) -> AbstractHostEnvironment:
    """Adds whatever is seen after a reset or a step to the pictures."""
    import gymnasium

    if not isinstance(environment, GymnasiumEnvironment):
        raise TypeError(f"{type(environment).__name__} cannot be drawn")

    class Camera(gymnasium.Wrapper):
        def reset(self, **settings):
            result = super().reset(**settings)
            frames.append(np.asarray(self.render()))
            return result

        def step(self, action):
            result = super().step(action)
            frames.append(np.asarray(self.render()))
            return result

    return GymnasiumEnvironment.of(lambda: Camera(environment._make()))


def write_frames(frames: list[np.ndarray], out: Path, fps: int) -> None:
    """Writes pictures as a GIF or as an MP4 film.

    Args:
        frames: (height, width, 3) of uint8, all of one size.
        out: Ends in `.gif` or `.mp4`.
        fps: Pictures a second.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".mp4":
        with warnings.catch_warnings():  # a program is started, which JAX warns of
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            import_imageio().mimsave(out, frames, fps=fps, macro_block_size=1)
        return
    from PIL import Image

    first, *others = [Image.fromarray(np.asarray(frame, np.uint8)) for frame in frames]
    first.save(out, save_all=True, append_images=others, duration=max(20, round(1000 / fps)), loop=0)


def import_imageio() -> Any:
    """Imports what writes films."""
    try:
        importlib.import_module("imageio_ffmpeg")
        return importlib.import_module("imageio.v2")
    except ImportError as error:
        raise UsageError('MP4 needs imageio: pip install "bellmax[viz]"; or take --out episode.gif') from error
