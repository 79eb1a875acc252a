"""One checkpoint: all that a run needs to go on."""

import dataclasses
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ._arrays import load_arrays

_PACKAGES = ("equinox", "jax", "orbax-checkpoint")
ROWS = "metrics.jsonl"
STATE = "state"


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        calls: Trainer steps done.
        steps: Environment steps done, of each seed.
        seconds: Wall time so far.
        episode_return: Of the newest row of metrics, the mean over seeds; None if no episode ended.
    """

    calls: int = 0
    steps: int = 0
    seconds: float = 0.0
    episode_return: float | None = None


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are all as they were written.

    Attributes:
        path: Its folder.
        manifest: What the manifest says.
    """

    path: Path
    manifest: dict[str, Any]

    @property
    def progress(self) -> Progress:
        """How far the run had come."""
        return Progress(**self.manifest["progress"])

    @property
    def rows(self) -> str:
        """The run's `metrics.jsonl` as it was."""
        return (self.path / ROWS).read_text()

    def load(self, expected: Any, *, part: bool = False) -> Any:
        """Loads the arrays, as `load_arrays` does."""
        return load_arrays(self.path / STATE, expected, there=self.manifest["structure"], part=part)

    def warn_of_versions(self) -> None:
        """Says which packages have changed: the same numbers are promised for the same versions."""
        now, then = versions(), self.manifest["versions"]
        changed = [f"{name} {then.get(name)} (now {now[name]})" for name in now if now[name] != then.get(name)]
        if changed:
            warnings.warn(
                f"{self.path} was written with {', '.join(changed)}: the run goes on, but perhaps not bit for bit",
                stacklevel=2,
            )


def versions() -> dict[str, str]:
    """Returns the packages that decide what is read and computed, with their versions."""
    return {"bellmax": __version__} | {name: metadata.version(name) for name in _PACKAGES}
