"""Rows on Weights & Biases."""

import os
import secrets
from pathlib import Path
from typing import final

from ._log import LoggedRun
from ._metrics_file import Row

FOLDER = "wandb"
_PROJECT = "bellmax"


@final
class WandbLogger:
    """Logs a run to Weights & Biases: the summary under plain names, seeds of several under `seed_0/` and so on.

    Its environment variables say where and how: `WANDB_PROJECT` (else `bellmax`), `WANDB_ENTITY`, `WANDB_MODE=offline`.
    A run that goes on does so under the same id, kept in `wandb/id`.
    """

    def start(self, run: LoggedRun) -> None:
        """Begins the run there, or goes on with it."""
        import wandb  # pyright: ignore[reportMissingImports]

        self._seeds, self._offset, self._last = run.configuration.seeds, 0, -1
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.folder.name,
            dir=str(run.folder),
            config=run.configuration.as_json(),
            id=_id(run.folder / FOLDER / "id", anew=run.after is None),
            resume="allow",
            mode=os.environ.get("WANDB_MODE"),
        )
        self._run.define_metric("*", step_metric="step")

    def write(self, rows: list[Row]) -> None:
        """Logs the rows of a point as one."""
        figures: dict[str, float] = {}
        for row in rows:
            if row["seed"] is None or self._seeds > 1:
                prefix = "" if row["seed"] is None else f"seed_{row['seed']}/"
                values = {name: value for name, value in row.items() if name not in ("step", "seed", "seconds")}
                figures |= {f"{prefix}{name}": value for name, value in values.items() if value is not None}
        step = rows[0]["step"]
        if self._offset + step <= self._last:  # the next seed, after one that is over; its own count may not go back
            self._offset = self._last
        self._last = self._offset + step
        self._run.log(figures | {"step": step, "seconds": rows[0]["seconds"]}, step=self._last)

    def close(self) -> None:
        """Ends the run there; online, what is not sent yet is sent first."""
        if hasattr(self, "_run"):
            self._run.finish()


def _id(path: Path, *, anew: bool) -> str:
    """Returns the run's id, which is kept on disk."""
    if anew or not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(secrets.token_hex(4))
    return path.read_text()
