"""The run folder: what is written where, and how it is read back."""

import dataclasses
import json
import math
import os
import shutil
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._core import Counter
from ..training import Trainer, TrainState
from ._configuration import Configuration, UsageError
from ._host_trainer import HostTrainer

_FILES = {"agent", "config.json", "curve.png", "evaluation.json", "metrics.jsonl", "status.json"}
_PACKAGES = ("bellmax", "jax", "equinox", "optax", "distrax", "gymnax", "gymnasium")


@dataclasses.dataclass(frozen=True)
class Agent:
    """A trained agent, loaded from a run folder.

    Attributes:
        configuration: What it was trained with.
        trainer: Its algorithm and environment.
        state: The algorithm's state; every array has a leading axis of seeds.
        steps: Environment steps that it was trained for.
    """

    configuration: Configuration
    trainer: Trainer | HostTrainer
    state: Any
    steps: int

    @property
    def seeds(self) -> int:
        """Number of seeds that are there."""
        return seeds_of(self.state)


class RunFolder:
    """Writes and reads `config.json`, `metrics.jsonl`, `status.json`, `agent/`, `evaluation.json` and `curve.png`."""

    def __init__(self, path: Path):
        self.path = path.expanduser().resolve()

    def create(self, configuration: Configuration, *, replace: bool) -> None:
        """Makes the folder; refuses one that exists unless it may be replaced."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            if not replace:
                raise UsageError(f"{self.path} exists; --replace deletes it first, --out DIR takes another folder")
            self._check_replaceable()
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        installed = {name: metadata.version(name) for name in _PACKAGES if _is_installed(name)}
        device = str(jax.devices()[0].device_kind)
        self.write_json("config.json", configuration.as_json() | {"versions": installed, "device": device})

    def _check_replaceable(self) -> None:
        """Refuses to delete what no run made."""
        strangers = {path.name for path in self.path.iterdir()} - _FILES if self.path.is_dir() else {self.path.name}
        if strangers or not (self.path / "config.json").is_file():
            held = f"it holds {', '.join(sorted(strangers)[:3])}" if strangers else "it has no config.json"
            raise UsageError(f"{self.path} is not a run folder ({held}), so it is not replaced")

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Writes a file whole or not at all."""
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(json.dumps(finite(content), indent=2) + "\n")
        os.replace(temporary, self.path / name)

    def append_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows to `metrics.jsonl`; what was written before stays readable."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.writelines(json.dumps(finite(row)) + "\n" for row in rows)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Reads the rows of `metrics.jsonl`."""
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def read_status(self) -> dict[str, Any]:
        """Reads `status.json`."""
        return json.loads((self.path / "status.json").read_text())

    def save_agent(self, state: TrainState) -> None:
        """Saves the algorithm's state and the count of steps; every array has a leading axis of seeds."""
        from orbax.checkpoint import v1 as ocp

        ocp.save(str(self.path / "agent"), _by_name(_saved_part(state)), overwrite=True)

    def configuration(self) -> Configuration:
        """Reads `config.json`."""
        path = self.path / "config.json"
        try:
            return Configuration.from_json(json.loads(path.read_text()))
        except FileNotFoundError:
            raise UsageError(f"{self.path} is not a run folder: it has no config.json") from None
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise UsageError(f"{path} cannot be read: {error!r}") from None


def load_agent(run: str | Path) -> Agent:
    """Loads the agent of a run folder.

    Args:
        run: The folder.

    Returns:
        The agent, without seeds that never began; member `i` of the others is
        `jax.tree.map(lambda leaf: leaf[i], agent.state)` where leaves are arrays.

    Raises:
        UsageError: If the folder is no run folder, or holds no agent that fits its configuration.
    """
    folder = RunFolder(Path(run))
    configuration = folder.configuration()
    trainer = configuration.trainer()
    if not (folder.path / "agent").is_dir():
        raise UsageError(f"{folder.path} holds no agent: the run did not come to its first save")
    expected = eqx.filter_eval_shape(jax.vmap(trainer.init), seed_keys(configuration))
    saved = _load_arrays(folder.path / "agent", _saved_part(expected))
    rest = eqx.filter(expected.shared.algorithm, _is_shaped, inverse=True)
    steps = [int(Counter(*words)) for words in zip(saved["steps"].high, saved["steps"].low, strict=True)]
    begun = np.flatnonzero(steps)
    if 0 < len(begun) < len(steps):
        warnings.warn(
            f"{folder.path}: the run ended before all seeds began; {len(begun)} of {len(steps)} are loaded",
            stacklevel=2,
        )
        saved["algorithm"] = jax.tree.map(lambda leaf: leaf[begun], saved["algorithm"])
    return Agent(configuration, trainer, eqx.combine(saved["algorithm"], rest), max(steps))


def _load_arrays(path: Path, expected: Any) -> Any:
    """Loads arrays into the expected structure, compared first: orbax tries to load what does not fit."""
    from orbax.checkpoint import v1 as ocp

    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    wanted = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device) for name, leaf in _by_name(expected).items()
    }
    try:
        there = ocp.metadata(str(path)).metadata
        for name in sorted(wanted.keys() | there.keys()):
            sides = [
                f"{tree[name].shape} {tree[name].dtype}" if name in tree else "nothing" for tree in (there, wanted)
            ]
            if sides[0] != sides[1]:
                raise UsageError(f"{path} does not fit the configuration: {name} is {sides[0]}, expected {sides[1]}")
        saved = ocp.load(str(path), wanted)
    except UsageError:
        raise
    except Exception as error:  # orbax raises many kinds, bare Exception among them
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(f"{path} cannot be loaded: {reason}") from error
    return jax.tree.unflatten(jax.tree.structure(expected), [saved[name] for name in _by_name(expected)])


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


def _saved_part(state: TrainState) -> dict[str, Any]:
    return {"algorithm": eqx.filter(state.shared.algorithm, _is_shaped), "steps": state.shared.steps}


def _by_name(tree: Any) -> dict[str, Any]:
    """Returns the leaves by their place in the tree."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _is_shaped(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
