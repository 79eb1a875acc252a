"""A training run, from its configuration to a folder."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from .._core import Mean
from ..training import Trainer, TrainState, train_chunk
from ._configuration import Configuration
from ._evaluation import Evaluation, evaluate_agent
from ._folder import RunFolder, seed_keys
from ._plot import plot_curve
from ._progress import Report, show_progress

_ROWS = 100
"""Rows of metrics in a run, for each seed."""
_SECONDS_BETWEEN_SIGNALS = 0.5
"""How long the compiled program runs before the host looks at signals and the screen."""


@dataclasses.dataclass
class Interruption:
    """Whether the user, or the machine, asked to stop, and by which signal."""

    signal: int | None = None


def train_run(
    configuration: Configuration, out: str | Path, *, replace: bool = False, episodes: int = 128
) -> tuple[Evaluation | None, int | None]:
    """Trains, evaluates and leaves a run folder.

    Ctrl-C and SIGTERM let the present piece of work end, save the agent as it is and say so in `status.json`; a second
    Ctrl-C ends at once, without saving.

    Args:
        configuration: What defines the run.
        out: The run folder.
        replace: Whether a run folder that exists may be deleted.
        episodes: Episodes of each seed in the final evaluation.

    Returns:
        The final evaluation, or None if the run was interrupted, and the number of the signal that did.

    Raises:
        UsageError: If the configuration does not fit, or the folder exists.
    """
    trainer = configuration.trainer()
    folder = RunFolder(Path(out))
    folder.create(configuration, replace=replace)
    calls = configuration.steps // trainer.steps_per_call
    total = calls * trainer.steps_per_call
    _write_status(folder, "running", 0, total)
    try:
        with _interruptible() as interruption:
            with show_progress(total, configuration.seeds) as report:
                state, done = _train(trainer, configuration, folder, calls, interruption, report)
            folder.save_agent(state)
            rows = folder.read_metrics()
            if rows:
                title = f"{configuration.algorithm} on {configuration.environment}"
                plot_curve(rows, title, folder.path / "curve.png")
            if interruption.signal is not None:
                _write_status(folder, "interrupted", done, total)
                return None, interruption.signal
            evaluation = evaluate_agent(
                trainer, state.shared.algorithm, steps=done, key=configuration.key, episodes=episodes
            )
            folder.write_json("evaluation.json", dataclasses.asdict(evaluation))
            _write_status(folder, "finished", done, total)
            return evaluation, None
    except BaseException as error:
        ended = {"state": "interrupted"} if isinstance(error, KeyboardInterrupt) else {"state": "failed"}
        folder.write_json("status.json", folder.read_status() | ended | {"error": repr(error)})
        raise


def _train(
    trainer: Trainer,
    configuration: Configuration,
    folder: RunFolder,
    calls: int,
    interruption: Interruption,
    report: Report,
) -> tuple[TrainState, int]:
    """Runs the compiled loop row by row; returns the state and the environment steps of each seed."""

    def chunk_of_seeds(state, calls):
        return jax.vmap(lambda state: train_chunk(trainer, state, calls))(state)

    state = jax.jit(jax.vmap(trainer.init))(seed_keys(configuration))
    chunk = jax.jit(chunk_of_seeds, donate_argnums=0).lower(state, 1).compile()
    report(0, None)
    start = time.perf_counter()
    done, size = 0, 1
    for row_end in np.linspace(0, calls, min(_ROWS, calls) + 1).astype(int)[1:]:
        metrics = None
        while done < row_end and interruption.signal is None:
            size = min(size, int(row_end) - done)
            begin = time.perf_counter()
            state, new = jax.block_until_ready(chunk(state, size))
            done += size
            metrics = new if metrics is None else jax.tree.map(np.add, metrics, new)
            size = max(1, int(size * min(2.0, _SECONDS_BETWEEN_SIGNALS / (time.perf_counter() - begin))))
            report(done * trainer.steps_per_call, None)
        if metrics is not None:
            steps = done * trainer.steps_per_call
            rows = _rows(metrics, steps, time.perf_counter() - start, configuration.seeds)
            folder.append_metrics(rows)
            _write_status(folder, "running", steps, calls * trainer.steps_per_call)
            returns = [row["episode_return"] for row in rows if np.isfinite(row["episode_return"])]
            report(steps, float(np.mean(returns)) if returns else None)
    return state, done * trainer.steps_per_call


def _rows(metrics: dict[str, Mean], steps: int, seconds: float, seeds: int) -> list[dict[str, float]]:
    """Makes a row a seed; a metric without weight is NaN."""
    values = {name: np.asarray(metric.value, np.float64) for name, metric in metrics.items()}
    episodes = np.asarray(metrics["episode_return"].weight)
    return [
        {"step": steps, "seed": seed, "seconds": round(seconds, 3), "episodes": int(episodes[seed])}
        | {name: float(value[seed]) for name, value in values.items()}
        for seed in range(seeds)
    ]


def _write_status(folder: RunFolder, state: str, steps: int, total: int) -> None:
    folder.write_json("status.json", {"state": state, "steps": steps, "of": total})


@contextlib.contextmanager
def _interruptible() -> Iterator[Interruption]:
    """Turns the first SIGINT or SIGTERM into a wish; the second SIGINT is Python's own again."""
    interruption = Interruption()

    def on_signal(number, _):
        interruption.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may set handlers
        before = {}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
