"""The runs that a picture or a page is about, each with a name that tells it from the others."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ._configuration import Configuration, UsageError
from ._folder import RunFolder


@dataclasses.dataclass(frozen=True)
class NamedRun:
    """A run among others.

    Attributes:
        label: Its algorithm where that tells runs apart, else the name of its folder or the values of its sweep.
        folder: Its folder.
        configuration: What defines it.
        of_sweep: Whether it came with the folder of a sweep.
    """

    label: str
    folder: RunFolder
    configuration: Configuration
    of_sweep: bool = False


def is_sweep(path: Path) -> bool:
    """Tells whether a folder is that of a sweep."""
    try:
        content = json.loads((path / "config.json").read_text())
        return {"base", "values"} <= content.keys()
    except (OSError, ValueError, AttributeError):
        return False


def named_runs(paths: Sequence[str | Path]) -> list[NamedRun]:
    """Reads the configurations of run folders, and of all runs of a sweep's folder.

    Raises:
        UsageError: If a folder is neither.
    """
    folders: dict[Path, bool] = {}
    for path in (Path(each).expanduser().resolve() for each in paths):
        if is_sweep(path):
            folders |= dict.fromkeys(sweep_members(path), True)
        else:
            folders.setdefault(path, False)
    found = [(RunFolder(path), of_sweep) for path, of_sweep in folders.items()]
    read = [(folder, _configuration(folder), of_sweep) for folder, of_sweep in found]
    labels = _labels([folder.path for folder, *_ in read], [configuration for _, configuration, _ in read])
    return [NamedRun(label, *each) for label, each in zip(labels, read, strict=True)]


def sweep_members(path: Path) -> list[Path]:
    """Lists the run folders of a sweep that have begun."""
    found = sorted(each.parent for each in (path / "runs").glob("*/config.json"))
    if not found:
        raise UsageError(f"{path} is a sweep of which no run has begun yet")
    return found


def _configuration(folder: RunFolder) -> Configuration:
    try:
        return folder.configuration()
    except UsageError as error:
        inside = sorted(each.parent.name for each in folder.path.glob("*/config.json"))
        hint = f"; it holds run folders, {', '.join(inside[:3])}: name those" if inside else ""
        raise UsageError(f"{error}{hint}") from None


def _labels(paths: Sequence[Path], configurations: Sequence[Configuration]) -> list[str]:
    """Returns the shortest kind of names that differ, where they must."""
    where = [each.environment for each in configurations]
    kinds = (
        [each.algorithm for each in configurations],
        [_own_name(path) for path in paths],
        [f"{path.parent.name}/{path.name}" for path in paths],
        [str(path) for path in paths],
    )
    return next(names for names in kinds if len(set(zip(names, where, strict=True))) == len(paths))


def _own_name(path: Path) -> str:
    """Returns the name of a folder; of a sweep's run, `003_learning-rate=1e-3_steps=64`, the values."""
    found = re.fullmatch(r"\d{3,}_(.*=.*)", path.name)
    return found[1].replace("_", ", ") if found else path.name
