"""The folders of runs that are trained together."""

from typing import Any

from ._folder import RunFolder
from ._metrics_file import Row


class RunFolders:
    """Writes what belongs to each run into its own folder.

    Attributes:
        folders: One a run.
        seeds: Of each run; seed `i` of what is trained together is seed `i % seeds` of run `i // seeds`.
    """

    def __init__(self, folders: list[RunFolder], seeds: int):
        self.folders, self.seeds = folders, seeds

    def append_metrics(self, rows: list[Row]) -> None:
        """Adds rows to each `metrics.jsonl`; those of seeds beyond the last run belong to none."""
        for place, folder in enumerate(self.folders):
            mine = [row for row in rows if row["seed"] // self.seeds == place]
            folder.append_metrics([row | {"seed": row["seed"] % self.seeds} for row in mine])

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Writes the same file into each folder."""
        for folder in self.folders:
            folder.write_json(name, content)
