"""`bellmax render`."""

import dataclasses
import importlib
import os
import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .. import envs
from .._core import clip_to
from ..algorithms import AbstractAlgorithm
from ..envs import AbstractEnvironment, AbstractHostEnvironment, GymnasiumEnvironment
from ._agent import Agent, load_agent
from ._compile import compiled
from ._configuration import UsageError, check_key
from ._flags import flag, parse, positional
from ._host_loop import seed_of

_PICTURES = {".gif", ".mp4"}
_RENDER_STREAM = 2**32 - 2
"""Folded into the key first, as the stream of evaluation is."""


def render(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    options, more = parse(render_options(), flags, "bellmax render RUN")
    names += more
    if len(names) != 1:
        raise UsageError(f"render needs one run folder; got {len(names)}")
    check_key(options.key)
    out = Path(options.out)
    if out.suffix not in _PICTURES | {".html"}:
        raise UsageError(f"--out must end in .gif, .mp4 or .html; got {options.out}")
    if options.max_steps < 1 or options.fps < 1:
        raise UsageError(f"max-steps and fps must be at least 1; got {options.max_steps} and {options.fps}")
    if out.suffix == ".mp4":
        _import_imageio()
    agent = load_agent(names[0])
    if not 0 <= options.seed < agent.seeds:
        raise UsageError(f"the run has seeds 0 to {agent.seeds - 1}; got {options.seed}")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # before pygame looks for a screen and a loudspeaker
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    key = jax.random.fold_in(jax.random.key(options.key), _RENDER_STREAM)
    total, length = _draw(agent, options.seed, key, options.max_steps, out, options.fps)
    print(f"return {total:.1f} over {length} steps\n{out}")
    return 0


def _draw(agent: Agent, seed: int, key: Key[Array, ""], max_steps: int, out: Path, fps: int) -> tuple[float, int]:
    """Plays one episode, writes it, and returns its return and length."""
    environment, name = agent.trainer.environment, agent.configuration.environment
    policy = _Policy(agent, seed)
    try:
        if isinstance(environment, AbstractEnvironment):
            states, rewards = _play(environment, policy, key, max_steps)
            if out.suffix == ".html":
                page = environment.html(states)
                out.write_text(page)
            else:
                write_frames(environment.frames(states), out, fps)
        else:
            if out.suffix == ".html":
                raise TypeError("--out episode.gif draws pictures")
            frames, rewards = _play_on_host(envs.make(name, render_mode="rgb_array"), policy, key, max_steps)
            write_frames(frames, out, fps)
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise UsageError(f"{name} was not drawn: {error}{_hint(environment, out)}") from error
    return float(np.sum(rewards)), len(rewards)


def _hint(environment: Any, out: Path) -> str:
    """Says which other kind of file this environment can be drawn to."""
    kind = type(environment)
    if not isinstance(environment, AbstractEnvironment):
        return ""
    if out.suffix == ".html" and kind.frames is not AbstractEnvironment.frames:
        return "; --out episode.gif draws pictures"
    if out.suffix != ".html" and kind.html is not AbstractEnvironment.html:
        return "; --out episode.html draws a page"
    return ""


class _Policy:
    """One seed's policy, its mode, as a compiled function."""

    def __init__(self, agent: Agent, seed: int):
        algorithm: AbstractAlgorithm = agent.trainer.algorithm
        state = jax.tree.map(lambda leaf: leaf[seed] if eqx.is_array(leaf) else leaf, agent.state)
        arrays, rest = eqx.partition(state, eqx.is_array)
        spaces, steps = agent.trainer.environment.spaces, jnp.asarray(agent.steps, float)
        self.memory = algorithm.init_memory(spaces)

        def act(arrays, observation, memory, key):
            state = eqx.combine(arrays, rest)
            action, _, memory = algorithm.act(state, observation, memory, step=steps, key=key, explore=False)
            return clip_to(spaces.action, action), memory

        act_once = compiled(act)
        self._act = lambda observation, memory, key: act_once(arrays, observation, memory, key)

    def __call__(self, observation: Any, key: Key[Array, ""]) -> Any:
        """Chooses the next action of the episode."""
        action, self.memory = self._act(observation, self.memory, key)
        return action


def _play(environment: AbstractEnvironment, policy: _Policy, key: Key[Array, ""], max_steps: int):
    """Plays one episode and returns its states, the last one included, and its rewards."""
    reset_key, play_key = jax.random.split(key)
    step = compiled(lambda state, action, key: environment.step(state, action, key=key))
    state, observation = compiled(lambda key: environment.reset(key=key))(reset_key)
    states, rewards = [state], []
    for time in range(max_steps):
        act_key, step_key = jax.random.split(jax.random.fold_in(play_key, time))
        state, outcome = step(state, policy(observation, act_key), step_key)
        observation = outcome.observation
        states.append(state)
        rewards.append(float(outcome.reward))
        if outcome.terminated or outcome.truncated:
            break
    return states, rewards


def _play_on_host(environment: Any, policy: _Policy, key: Key[Array, ""], max_steps: int):
    """Plays one episode outside JAX and returns its pictures, the last one included, and its rewards."""
    frames: list[np.ndarray] = []
    lanes = _with_camera(environment, frames).start(1)
    try:
        reset_key, play_key = jax.random.split(key)
        observation = lanes.reset(seed=seed_of(reset_key))
        rewards = []
        for time in range(max_steps):
            one = jax.tree.map(lambda leaf: leaf[0], observation)
            action = policy(one, jax.random.fold_in(play_key, time))
            outcome = lanes.step(jax.tree.map(lambda leaf: np.asarray(leaf)[None], action))
            observation = outcome.start
            rewards.append(float(outcome.reward[0]))
            if outcome.terminated[0] or outcome.truncated[0]:
                frames.pop()  # the first one of the next episode
                break
    finally:
        lanes.close()
    return frames, rewards


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
            _import_imageio().mimsave(out, frames, fps=fps, macro_block_size=1)
        return
    from PIL import Image

    first, *others = [Image.fromarray(np.asarray(frame, np.uint8)) for frame in frames]
    first.save(out, save_all=True, append_images=others, duration=max(20, round(1000 / fps)), loop=0)


def _import_imageio() -> Any:
    try:
        importlib.import_module("imageio_ffmpeg")
        return importlib.import_module("imageio.v2")
    except ImportError as error:
        raise UsageError('MP4 needs imageio: pip install "bellmax[viz]"; or take --out episode.gif') from error


def render_options() -> type:
    """Makes the flags of `render`."""
    flags = [
        flag("out", str, "episode.gif", "Where to: a .gif, an .mp4 or, where the package draws pages, an .html file."),
        flag("seed", int, 0, "Which of the run's seeds plays."),
        flag("key", int, 0, "Number from which the episode's randomness comes."),
        flag("max_steps", int, 1000, "The episode is cut after so many steps."),
        flag("fps", int, 30, "Pictures a second."),
    ]
    description = "Plays one episode with a run's agent, taking the policy's mode, and draws it."
    return dataclasses.make_dataclass("RenderOptions", flags, namespace={"__doc__": description})
