"""The learning table: what each preset reaches, beside what the field publishes.

    python benchmarks/learning                         # runs every row that has no result yet, one after another
    python benchmarks/learning --list                  # says where each row stands
    python benchmarks/learning --only ppo-CartPole     # these rows alone, those too that are not run otherwise
    python benchmarks/learning --again ppo-CartPole    # these rows alone, from the beginning
    python benchmarks/learning --page                  # runs nothing, writes the page

Rows are in `rows.toml`. Each is one `bellmax train` in a process of its own, whose CPU and wall time are taken, with
keys 0 to n − 1 as its seeds. What it found stays in `results/ROW.json` and its curve in `docs/algorithms/curves`, so a
table that was interrupted goes on with the rows that miss. A result counts as long as its command and its preset are
those of today. After each row the table in `docs/algorithms/learning.md` is written anew.
"""

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "algorithms"
RESULTS, CURVES, PAGE = HERE / "results", DOCS / "curves", DOCS / "learning.md"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of `rows.toml`, where each entry is described."""

    name: str
    algorithm: str
    environment: str
    steps: int
    seeds: int
    published: str
    bar: float | None = None
    episodes: int = 128
    flags: tuple[str, ...] = ()
    not_run: str = ""
    comment: str = ""

    @property
    def words(self) -> list[str]:
        """The command, without the program's name."""
        words = ["train", self.algorithm, self.environment, "--steps", str(self.steps), "--seeds", str(self.seeds)]
        words += [] if self.episodes == 128 else ["--episodes", str(self.episodes)]
        return [*words, *self.flags]


def read_rows(path: Path = HERE / "rows.toml") -> list[Row]:
    """Reads the rows, in the table's order."""
    rows = tomllib.loads(path.read_text(encoding="utf8"))["row"]
    return [Row(**row | {"flags": tuple(row.get("flags", ()))}) for row in rows]


def read_result(row: Row, folder: Path = RESULTS) -> dict[str, Any] | None:
    """Reads what a row found; None where it has not run."""
    path = folder / f"{row.name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def preset(row: Row) -> dict[str, Any] | None:
    """Returns the row's hyperparameters of today, by name, but those its flags set; None without such an algorithm."""
    from bellmax.experiment._configuration import ALGORITHMS, preset_of
    from bellmax.experiment._flags import value_of

    if row.algorithm not in ALGORITHMS:
        return None
    flagged = {flag.split("=")[0].removeprefix("--").replace("-", "_") for flag in row.flags}
    values = preset_of(row.algorithm, row.environment, value_of("--preset", list(row.flags)))
    return {name: value for name, value in values.items() if name not in flagged}


def state_of(row: Row, result: dict[str, Any] | None, today: dict[str, Any] | None) -> str:
    """Says where a row stands.

    Returns:
        `done`; `waiting` for its algorithm; `old` where the command or the preset has changed since; `to run`; or
        `by name`, only when it is named. A hyperparameter that came or went since does not make a result old.
    """
    if today is None:
        return "waiting"
    if result is None:
        return "by name" if row.not_run else "to run"
    then = result["hyperparameters"]
    same = all(plain(then[name]) == plain(today[name]) for name in then.keys() & today.keys())
    return "done" if same and result["command"] == row.words else "old"


def plain(value: Any) -> Any:
    """Returns a hyperparameter as it is compared: the command line makes some numbers texts, and tuples lists."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return list(value) if isinstance(value, tuple) else value


def is_met(bar: float, mean: float, low: float, high: float) -> bool:
    """Whether the mean is at the bar, or within 2 % of it with the bar inside the 95 % interval."""
    return mean >= bar or (mean >= bar - 0.02 * abs(bar) and low <= bar <= high)


def run(row: Row) -> dict[str, Any]:
    """Trains a row in a process of its own and keeps what it found."""
    from bellmax.experiment import bootstrap_interval, interquartile_mean

    program = "from bellmax.experiment import main; raise SystemExit(main())"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", program, *row.words, "--out", str(out)], check=True)
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
        evaluation, status, config = (
            json.loads((out / f"{name}.json").read_text()) for name in ("evaluation", "status", "config")
        )
        if (out / "curve.png").exists():
            keep_curve(out / "curve.png", CURVES / f"{row.name}.png")
    means = np.array(evaluation["seed_means"])
    result = {
        "command": row.words,
        "steps": status["steps"],
        "mean": means.mean(),
        "interval": bootstrap_interval(means),
        "iqm": float(interquartile_mean(means)),
        "iqm_interval": bootstrap_interval(means, statistic=interquartile_mean),
        "seed_means": evaluation["seed_means"],
        "episodes": evaluation["episodes"],
        "unfinished": evaluation["unfinished"],
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_seconds": round(wall, 1),
        "versions": config["versions"],
        "device": config["device"],
        "hyperparameters": config["hyperparameters"] | {"num_envs": config["num_envs"]},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{row.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def keep_curve(source: Path, target: Path) -> None:
    """Copies a picture with few colours: it is kept with the pages."""
    from PIL import Image

    target.parent.mkdir(exist_ok=True)
    Image.open(source).convert("RGB").quantize(32).save(target, optimize=True)


def number(value: float) -> str:
    """Writes a return: one digit after the point, three below 10."""
    return f"{value:.{1 if abs(value) >= 10 else 3}f}".replace("-", "−")


def line(row: Row, result: dict[str, Any] | None) -> str:
    """Writes one line of the table."""
    steps, bar = f"{row.steps:,}", "" if row.bar is None else f"{row.bar:g}".replace("-", "−")
    start = [row.algorithm, " ".join([row.environment, *row.flags]), steps, str(row.seeds)]
    if result is None:
        found = [f"not run: {row.not_run}" if row.not_run else "not run yet", "", bar, "", row.published, "", ""]
        return f"| {' | '.join([*start, *found])} |"
    spread = [
        "{}, {} to {}".format(*map(number, (result[name], *result[interval])))
        for name, interval in (("mean", "interval"), ("iqm", "iqm_interval"))
    ]
    met = "" if row.bar is None else ("yes" if is_met(row.bar, result["mean"], *result["interval"]) else "no")
    minutes = f"{result['cpu_seconds'] / 60:.1f}, {result['wall_seconds'] / 60:.1f}"
    return f"| {' | '.join([*start, *spread, bar, met, row.published, minutes, f'[curve](curves/{row.name}.png)'])} |"


def table(rows: list[Row], folder: Path = RESULTS) -> str:
    """Writes the table, what is to be said about rows, and their commands."""
    results = {row.name: read_result(row, folder) for row in rows}
    heads = ["algorithm", "environment", "steps", "seeds", "mean, 95 % interval", "IQM, 95 % interval"]
    heads += ["bar", "met", "published", "minutes of CPU, of wall", "training"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [line(row, results[row.name]) for row in rows]
    lines += ["", *(f"- **{row.algorithm} on {row.environment}**: {row.comment}" for row in rows if row.comment)]
    lines += ["", "```", *(" ".join(["bellmax", *row.words]) for row in rows), "```"]
    return "\n".join(lines)


def between_marks(page: str, text: str) -> str:
    """Puts a text between the page's marks, in the place of what stood there."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Runs what misses, and writes the page; returns the exit code, 1 where a row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="say where each row stands, and run nothing")
    parser.add_argument("--page", action="store_true", help="write the page, and run nothing")
    parser.add_argument("--only", nargs="+", metavar="ROW", default=[], help="these rows alone")
    parser.add_argument("--again", nargs="+", metavar="ROW", default=[], help="these rows alone, done or not")
    options = parser.parse_args(arguments)
    rows, failed = read_rows(), []
    named = {*options.only, *options.again}
    if unknown := named - {row.name for row in rows}:
        parser.error(f"no row is named {', '.join(sorted(unknown))}; --list names them")
    for row in rows if options.list else []:
        print(f"{state_of(row, read_result(row), preset(row)):8} {row.name:30} bellmax {' '.join(row.words)}")
    for row in [] if options.list or options.page else rows:
        state = state_of(row, read_result(row), preset(row))
        chosen = row.name in named if named else state in ("to run", "old")
        if not chosen or state == "waiting" or (state == "done" and row.name not in options.again):
            if row.name in named:
                print(f"{row.name}: {state}" + ("; --again runs it anew" if state == "done" else ""))
            continue
        print(f"{row.name}: bellmax {' '.join(row.words)}", flush=True)
        try:
            print(line(row, run(row)), flush=True)
        except subprocess.CalledProcessError as error:
            print(f"{row.name}: exit code {error.returncode}", file=sys.stderr)
            failed.append(row.name)
        PAGE.write_text(between_marks(PAGE.read_text(), table(rows)))
    if options.page:
        PAGE.write_text(between_marks(PAGE.read_text(), table(rows)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
