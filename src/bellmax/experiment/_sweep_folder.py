"""The folder of a sweep."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._configuration import Configuration, UsageError
from ._evaluation import Evaluation, read_evaluation
from ._folder import RunFolder, empty, make_folder
from ._sweep_grid import as_text, value_of_knob

_FILES = {"config.json", "report.html", "results.csv", "runs", "summary.csv", "sweep.png"}


class SweepFolder:
    """Holds `config.json`, a run folder for each configuration in `runs/`, the tables and the picture.

    Attributes:
        path: Where.
    """

    def __init__(self, path: Path):
        self.path = path.expanduser().resolve()

    def check(self, base: Configuration, values: Mapping[str, Sequence[Any]], *, episodes: int, replace: bool) -> None:
        """Refuses a folder of another sweep unless it may be replaced, and what is no sweep's in any case."""
        there = [path.name for path in self.path.iterdir()] if self.path.is_dir() else []
        if not self.path.exists() or (self.path.is_dir() and not _kept(there)):
            return
        before, content = self._content(), _content_of(base, values, episodes)
        if before != content and not replace:
            raise UsageError(
                f"{self.path} holds another sweep ({_difference(before, content)}); --out DIR takes another folder, "
                "--replace deletes this one first"
            )
        strangers = sorted(set(_kept(there)) - _FILES)
        if strangers and replace:
            raise UsageError(f"{self.path} also holds {', '.join(strangers[:3])}, so it is not replaced")
        runs = self.path / "runs"
        for run in sorted(runs.iterdir()) if runs.is_dir() else ():
            if replace or not RunFolder(run).is_finished:  # what is not finished is trained anew
                RunFolder(run).check_replaceable()

    def create(self, base: Configuration, values: Mapping[str, Sequence[Any]], *, episodes: int, replace: bool) -> None:
        """Makes the folder, or leaves it as it is where `check` found this very sweep."""
        self.check(base, values, episodes=episodes, replace=replace)
        make_folder(self.path)
        if replace:
            empty(self.path)
        RunFolder(self.path).write_json("config.json", _content_of(base, values, episodes))

    def run(self, place: int, configuration: Configuration, names: Sequence[str]) -> RunFolder:
        """Returns the run folder of a configuration, named after its place and its values."""
        values = [f"{name.replace('_', '-')}={as_text(value_of_knob(configuration, name))}" for name in names]
        name = re.sub(r"[^\w.=+-]", "-", "_".join(values))[:100]
        return RunFolder(self.path / "runs" / f"{place:03d}_{name}")

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads((self.path / "config.json").read_text())
            return {name: content[name] for name in ("base", "values", "episodes")}
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(f"{self.path} exists and is not the folder of a sweep; --out DIR takes another") from None


def finished(
    folders: Mapping[int, RunFolder], configurations: Mapping[int, Configuration], episodes: int
) -> dict[int, Evaluation]:
    """Returns the evaluations of the runs that came to their end with the very configuration that is wanted."""
    found = {place: _evaluation(folders[place], each, episodes) for place, each in configurations.items()}
    return {place: evaluation for place, evaluation in found.items() if evaluation is not None}


def _evaluation(folder: RunFolder, configuration: Configuration, episodes: int) -> Evaluation | None:
    try:
        before = json.loads((folder.path / "config.json").read_text())
        if any(before.get(name) != value for name, value in _normal(configuration.as_json()).items()):
            return None
    except (OSError, ValueError, AttributeError):
        return None
    evaluation = read_evaluation(folder)
    wanted = episodes, configuration.seeds
    return evaluation if evaluation and (evaluation.episodes, evaluation.seeds) == wanted else None


def _kept(names: list[str]) -> list[str]:
    """Returns the files that are no leftovers of a process that was killed while it wrote."""
    return [name for name in names if not (name.startswith(".") and name.endswith(".tmp"))]


def _content_of(base: Configuration, values: Mapping[str, Sequence[Any]], episodes: int) -> dict[str, Any]:
    texts = {name: [as_text(value) for value in each] for name, each in values.items()}
    return _normal({"base": base.as_json(), "values": texts, "episodes": episodes})


def _normal(content: dict[str, Any]) -> dict[str, Any]:
    """Returns what JSON gives back."""
    return json.loads(json.dumps(content))


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Names the first thing that differs."""
    for part in ("base", "values"):
        one, other = (dict(content[part]) for content in (before, now))
        one, other = one | one.pop("hyperparameters", {}), other | other.pop("hyperparameters", {})
        for name in [*other, *one]:
            if one.get(name) != other.get(name):
                return f"{name} was {json.dumps(one.get(name))}, is {json.dumps(other.get(name))}"
    return f"episodes was {before['episodes']}, is {now['episodes']}"
