"""The run folder: what is written where, and how it is read back."""

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..training import TrainState
from ._arrays import is_shaped, save_arrays
from ._checkpoints import Checkpoints
from ._configuration import Configuration, UsageError
from ._hosts import is_first, on_first
from ._metrics_file import MetricsFile, Row, parse_rows
from ._settings import Settings

_FILES = {
    "agent",
    "checkpoints",
    "config.json",
    "curve.png",
    "evaluation.json",
    "metrics.jsonl",
    "metrics.parquet",
    "report.html",
    "status.json",
    "tensorboard",
    "wandb",
}
_HALF_WRITTEN = re.compile(r"\..*\.tmp|agent\.orbax-checkpoint-tmp.*")
"""What a process that was killed may leave."""
_PACKAGES = ("bellmax", "jax", "equinox", "optax", "distrax", "gymnax", "gymnasium")


class RunFolder:
    """Writes and reads what a run leaves; `docs/runs.md` lists it. Of several processes the first alone writes."""

    def __init__(self, path: Path):
        self.path = path.expanduser().resolve()
        self._metrics = MetricsFile(self.path / "metrics.jsonl")

    @contextlib.contextmanager
    def claimed(self, prepare: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Locks the folder, then prepares it; of several processes the first does both, for all."""
        with contextlib.ExitStack() as stack:

            def claim():
                stack.enter_context(self.locked())
                prepare()

            on_first(claim)
            yield

    def create(self, configuration: Configuration, settings: Settings, *, replace: bool) -> None:
        """Begins anew in the folder, which this process has locked; refuses one that holds a run unless it may go."""
        if self.path.exists() and not replace and (not self.path.is_dir() or self._kept()):
            raise UsageError(f"{self.path} exists; --replace deletes it first, --out DIR takes another folder")
        self.check_replaceable()
        make_folder(self.path)
        empty(self.path)
        installed = {name: metadata.version(name) for name in _PACKAGES if _is_installed(name)}
        device = str(jax.devices()[0].device_kind)
        carried_out = {"versions": installed, "device": device, "settings": dataclasses.asdict(settings)}
        self.write_json("config.json", configuration.as_json() | carried_out)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing here; the lock ends with the process, however that ends."""
        try:
            import fcntl
        except ImportError:  # not on this system
            fcntl = None
        make_folder(self.path)
        if fcntl is None:
            yield
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(f"another process is writing to {self.path}; wait for it, or end it") from None
        except OSError:  # some network file systems have no locks
            pass
        try:
            yield
        finally:
            os.close(descriptor)

    def check_replaceable(self) -> None:
        """Refuses to delete what no run made."""
        if not self.path.exists():
            return
        there = self._kept() if self.path.is_dir() else {self.path.name}
        strangers = there - _FILES
        if strangers or (there and "config.json" not in there):
            held = f"it holds {', '.join(sorted(strangers)[:3])}" if strangers else "it has no config.json"
            raise UsageError(f"{self.path} is not a run folder ({held}), so it is not replaced")

    def _kept(self) -> set[str]:
        """Returns the files that are no leftovers of a process that was killed while it wrote."""
        return {path.name for path in self.path.iterdir() if not _HALF_WRITTEN.fullmatch(path.name)}

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Writes a file whole or not at all."""
        self._write_text(name, json.dumps(finite(content), indent=2) + "\n")

    def append_metrics(self, rows: list[Row]) -> None:
        """Adds rows to `metrics.jsonl`; what was written before stays readable, and a full disk is only warned of."""
        if is_first():
            self._metrics.append("".join(json.dumps(row) + "\n" for row in rows))

    def end_metrics(self) -> None:
        """Tries once more to write what a full disk refused."""
        self._metrics.append()

    def read_metrics(self) -> list[Row]:
        """Reads the rows of `metrics.jsonl`, those of a run that goes on too."""
        return parse_rows(self.metrics_text(), self.path / "metrics.jsonl")

    def metrics_text(self) -> str:
        """Returns `metrics.jsonl`, with what a full disk refused; nothing if it is not there yet."""
        return self._metrics.text()

    def write_metrics(self, text: str) -> None:
        """Replaces `metrics.jsonl`, whole or not at all."""
        self._write_text("metrics.jsonl", text)

    def checkpoints(self, configuration: Configuration, keep: int = 2) -> Checkpoints:
        """Returns the run's checkpoints."""
        return Checkpoints(self.path / "checkpoints", configuration.digest, keep=keep)

    def read_status(self) -> dict[str, Any]:
        """Reads `status.json`."""
        return json.loads((self.path / "status.json").read_text())

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end, as far as `status.json` can be read."""
        try:
            return self.read_status()["state"] == "finished"
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def forget_agent(self) -> None:
        """Deletes an agent that is about to be older than the newest checkpoint."""
        if is_first():
            shutil.rmtree(self.path / "agent", ignore_errors=True)

    def save_agent(self, state: TrainState) -> None:
        """Saves the algorithm's state and the count of steps; every array has a leading axis of seeds."""
        save_arrays(self.path / "agent", saved_part(state)).result()

    def configuration(self) -> Configuration:
        """Reads what defines the run from `config.json`."""
        return self._read_configuration(Configuration.from_json)

    def settings(self) -> Settings:
        """Reads how the run is carried out from `config.json`."""
        return self._read_configuration(lambda content: Settings(**content["settings"]))

    def _read_configuration(self, read: Callable[[dict[str, Any]], Any]) -> Any:
        path = self.path / "config.json"
        try:
            content = json.loads(path.read_text())
            if "base" in content:
                raise UsageError(f"{self.path} is the folder of a sweep; its runs are in {self.path / 'runs'}")
            return read(content)
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"{self.path} is not a run folder: it has no config.json") from None
        except UsageError:
            raise
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise UsageError(f"{path} cannot be read: {error!r}") from None

    def _write_text(self, name: str, text: str) -> None:
        """Writes a file whole or not at all."""
        if not is_first():
            return
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(text)
        os.replace(temporary, self.path / name)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, if they are not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror or error}; --out DIR takes another folder") from None


def empty(path: Path) -> None:
    """Deletes what a folder holds; `config.json`, by which it is known, last."""
    for each in sorted(path.iterdir(), key=lambda each: each.name == "config.json"):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def seeds_of(state: Any) -> int:
    """Returns the length of the leading axis of a state."""
    return jax.tree.leaves(eqx.filter(state, eqx.is_array))[0].shape[0]


def seed_keys(configuration: Configuration) -> jax.Array:
    """Returns the key of each seed; seed `i` has the same one however many seeds there are."""
    key = jax.random.key(configuration.key)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(configuration.seeds))


def finite(content: Any) -> Any:
    """Replaces NaN and infinities, which JSON does not have, with None."""
    if isinstance(content, dict):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def saved_part(state: TrainState) -> dict[str, Any]:
    return {"algorithm": eqx.filter(state.shared.algorithm, is_shaped), "steps": state.shared.steps}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
