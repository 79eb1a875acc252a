"""`bellmax list --packages`: what works with each environment package, found out by doing it."""

import dataclasses
import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import envs
from .._core import example
from ._compile import compiled

CELLS = ("reset and step", "truncation right", "trains", "renders")
_LANES = 16


@dataclasses.dataclass(frozen=True)
class Example:
    """The environment that stands for its package.

    Attributes:
        distribution: What pip calls the package.
        install: What to tell pip where it is missing.
        name: As `envs.make` takes it.
        limit: Steps after which an episode is truncated, with `settings`.
        settings: What sets that limit.
    """

    distribution: str
    install: str
    name: str
    limit: int
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


EXAMPLES = (
    Example("gymnax", "bellmax[envs]", "Pendulum-v1", 200),
    Example("bellmax", "bellmax", "toy/chain", 5, {"time_limit": 5}),
    Example("brax", "bellmax[brax]", "brax/inverted_pendulum", 5, {"episode_length": 5}),
    Example("playground", "bellmax[playground]", "playground/CartpoleBalance", 5, {"episode_length": 5}),
    Example("jumanji", "bellmax[jumanji]", "jumanji/Snake-v1", 5, {"time_limit": 5}),
    Example("xminigrid", "bellmax[xminigrid]", "xminigrid/MiniGrid-EmptyRandom-6x6", 5, {"max_steps": 5}),
    Example("gymnasium", "bellmax", "gymnasium/Pendulum-v1", 5, {"max_episode_steps": 5}),
    Example("mujoco", "mujoco", "gymnasium/InvertedPendulum-v5", 3, {"max_episode_steps": 3}),
    Example("ale-py", "ale-py", "gymnasium/ALE/Pong-v5", 5, {"max_episode_steps": 5}),
)


def table(examples: Sequence[Example] = EXAMPLES, *, time_limit: float = 600.0) -> Iterator[str]:
    """Measures every cell, each in a process of its own.

    Args:
        examples: One a row.
        time_limit: Seconds that one cell may take.

    Yields:
        The lines of a table in Markdown, each when it is measured. A cell that does not begin with `yes` says why.
    """
    yield _line("package", "version", "example", *CELLS)
    yield _line(*["---"] * (3 + len(CELLS)))
    for each in examples:
        try:
            version = importlib.metadata.version(each.distribution)
        except importlib.metadata.PackageNotFoundError:
            cells = [f'not installed: `pip install "{each.install}"`'] * len(CELLS)
            yield _line(each.distribution, "-", f"`{each.name}`", *cells)
            continue
        with tempfile.TemporaryDirectory() as folder:
            cells = [_in_process(cell, each, folder, time_limit) for cell in CELLS]
        yield _line(each.distribution, version, f"`{each.name}`", *cells)


def measure(cell: str, name: str, folder: str) -> str:
    """Does what a cell is about, in this process; raises where it does not work.

    Args:
        cell: One of `CELLS`.
        name: Name of the example.
        folder: Where the agent of `trains` is left for `renders`.

    Returns:
        What the cell says.
    """
    each = next(each for each in EXAMPLES if each.name == name)
    if cell == "reset and step":
        report = envs.check_environment(envs.make(name), key=jax.random.key(0), steps=300)
        broken = [f"{finding.check}: {finding.detail}" for finding in report.findings if finding.outcome == "failed"]
        if broken:
            raise RuntimeError("; ".join(broken))
        return "yes"
    if cell == "truncation right":
        _check_limit(envs.make(name, **each.settings), each.limit)
        return "yes"
    return _train(name, Path(folder)) if cell == "trains" else _render(Path(folder))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _in_process(cell: str, each: Example, folder: str, time_limit: float) -> str:
    code = "import sys; from bellmax.experiment import _packages; print(_packages.measure(*sys.argv[1:]))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, cell, each.name, folder], capture_output=True, text=True, timeout=time_limit
        )
    except subprocess.TimeoutExpired:
        return f"no: it took more than {time_limit:.0f} s"
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    last = (said or [f"exit code {done.returncode}"])[-1].replace("|", "/")
    return last if done.returncode == 0 else f"no: {last.removeprefix('RuntimeError: ')}"


def _check_limit(environment: envs.AbstractEnvironment | envs.AbstractHostEnvironment, limit: int) -> None:
    """Stays as still as the environment lets it, and demands that the clock alone cuts, once, on its very step.

    What is seen on that step must lie in its space: a clock that is shown may not.
    """
    if isinstance(environment, envs.AbstractHostEnvironment):
        terminated, truncated, last = _play_on_host(environment, limit)
    else:
        terminated, truncated, last = _play(environment, limit)
    alive = ~np.logical_or.accumulate(terminated, axis=0)
    if not alive[-1].any():
        raise RuntimeError(f"every one of {_LANES} episodes terminated before step {limit}")
    if truncated[:-1][alive[:-1]].any():
        raise RuntimeError(f"an episode was truncated before step {limit}")
    if not truncated[-1][alive[-1]].all():
        raise RuntimeError(f"an episode was not truncated at step {limit}")
    _check_fits(environment.spaces.observation, last, np.flatnonzero(alive[-1]), limit)


def _check_fits(space: Any, observations: Any, lanes: np.ndarray, limit: int) -> None:
    seen = jax.tree.map(lambda like, leaf: np.asarray(leaf, like.dtype), example(space), observations)
    for lane in lanes:
        one = jax.tree.map(lambda leaf, lane=lane: leaf[lane], seen)
        if not space.contains(one):
            raise RuntimeError(f"the observation at step {limit} lies outside its space, {space}")


def _play(environment: envs.AbstractEnvironment, limit: int) -> tuple[np.ndarray, np.ndarray, Any]:
    action = example(environment.spaces.action)

    def episode(key):
        def step(state, time):
            state, outcome = environment.step(state, action, key=jax.random.fold_in(key, time))
            return state, (outcome.terminated, outcome.truncated, outcome.observation)

        seen = jax.lax.scan(step, environment.reset(key=key)[0], jnp.arange(limit))[1]
        return seen[0], seen[1], jax.tree.map(lambda leaf: leaf[-1], seen[2])

    terminated, truncated, last = compiled(jax.vmap(episode, out_axes=(1, 1, 0)))(
        jax.random.split(jax.random.key(0), _LANES)
    )
    return np.asarray(terminated), np.asarray(truncated), last


def _play_on_host(environment: envs.AbstractHostEnvironment, limit: int) -> tuple[np.ndarray, np.ndarray, Any]:
    zeros = example(environment.spaces.action)
    action = jax.tree.map(lambda leaf: np.zeros((_LANES, *leaf.shape), leaf.dtype), zeros)
    lanes = environment.start(_LANES)
    try:
        lanes.reset(seed=0)
        steps = [lanes.step(action) for _ in range(limit)]
    finally:
        lanes.close()
    terminated, truncated = (np.stack([getattr(step, name) for step in steps]) for name in ("terminated", "truncated"))
    return terminated, truncated, steps[-1].observation


def _train(name: str, folder: Path) -> str:
    words = ["train", "ppo", name, "--preset", "none", "--steps", "512", "--num-envs", "4", "--rollout-length", "64"]
    _command([*words, "--episodes", "1", "--out", str(folder / "run")])
    return "yes"


def _render(folder: Path) -> str:
    if not (folder / "run").exists():
        raise RuntimeError("nothing was trained that could be drawn")
    causes = []
    for kind, word in ((".gif", "yes"), (".html", "yes, as a page")):
        try:
            out = folder / f"episode{kind}"
            _command(["render", str(folder / "run"), "--max-steps", "20", "--out", str(out)])
            if out.stat().st_size:
                return word
        except RuntimeError as error:
            causes.append(str(error))
    raise RuntimeError(causes[0])


def _command(words: list[str]) -> None:
    """Runs a command of the command line; what it says becomes the error where it fails."""
    import contextlib
    import io

    from ._cli import main

    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(words)
    if code:
        lines = said.getvalue().strip().splitlines()
        raise RuntimeError(lines[-1].removeprefix("bellmax: ") if lines else f"exit code {code}")
