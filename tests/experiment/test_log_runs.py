"""Runs with log back ends, from the command line and from Python."""

import json
import os
import resource
import signal

import pyarrow.parquet
import pytest

from bellmax.experiment import Configuration, _compile, _drive, _drivers, _rows, main, resume_run, train_run
from bellmax.experiment._folder import RunFolder
from bellmax.experiment._metrics_file import MetricsFile
from bellmax.experiment._settings import Settings

RUN = Configuration("td", "toy/chain", 800, 4, 2, 0, {})
WORDS = ["train", "td", "toy/chain", "--steps", "800", "--num-envs", "4", "--seeds", "2", "--episodes", "4"]


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compile, "_options", lambda: {"xla_backend_optimization_level": 0})
        yield


def rows_in(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def table_of(run):
    return pyarrow.parquet.read_table(run / "metrics.parquet").to_pylist()


def of_seeds(rows, like):
    """Leaves out the summaries, and of the others the fields that only those have."""
    return [{name: row[name] for name in like} for row in rows if row["seed"] is not None]


def test_back_ends_get_what_the_run_folder_gets(tmp_path):
    points, failed = [], []

    def failing(rows):
        failed.append(rows)
        if len(failed) == 3:
            raise ZeroDivisionError

    with pytest.warns(UserWarning, match="failing failed at step .*ZeroDivisionError") as warned:
        outcome = train_run(RUN, tmp_path / "run", episodes=4, log=["parquet", points.append, failing])
    assert len(warned) == 1
    assert outcome.evaluation is not None
    rows = rows_in(tmp_path / "run")
    assert [row for point in points for row in point[:-1]] == rows
    assert [point[-1] for point in points] == [_rows.summary_of(point[:-1]) for point in points]
    assert len(failed) == 3 < len(points) == 100
    table = table_of(tmp_path / "run")
    assert of_seeds(table, rows[0]) == rows
    assert len(table) == 3 * len(points)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["log"] == "parquet"


@pytest.mark.slow
def test_command_line_names_back_ends(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_rows.py").write_text("def log(rows):\n    print(rows[-1]['step'])\n")
    out = tmp_path / "run"
    assert main([*WORDS, "--log", "terminal,parquet,tensorboard,own_rows:log", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    steps = [row["step"] for row in rows_in(out) if row["seed"] == 0]
    assert shown.out.splitlines()[: len(steps)] == [str(step) for step in steps]
    table = [line.split() for line in shown.err.splitlines() if "of 800 steps" not in line]
    assert [line[0] for line in table if line[0] != "step"] == [str(step) for step in steps]
    assert sorted(path.name for path in (out / "tensorboard").iterdir() if path.is_dir()) == ["seed-0", "seed-1"]
    # A folder with all of these is a run folder still.
    RunFolder(out).create(RUN, Settings(), replace=True)
    assert [path.name for path in out.iterdir()] == ["config.json"]


def test_unknown_back_end_is_refused_before_there_is_a_folder(tmp_path, capsys):
    assert main([*WORDS, "--log", "parket", "--out", str(tmp_path / "run")]) == 2
    assert "no log back end is named 'parket'; the nearest are parquet" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def interrupt_at(monkeypatch, call):
    """Asks the run to stop after some call of the trainer."""
    advance, left = _drivers.Compiled.advance, iter(range(call, -1, -1))

    def counted(driver, calls):
        advance(driver, calls)
        if next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(_drive, "_SECONDS_BETWEEN_SIGNALS", 0)
    monkeypatch.setattr(_drivers.Compiled, "advance", counted)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_resume_goes_on_with_the_back_ends_and_doubles_no_row(tmp_path, monkeypatch, cut):
    monkeypatch.setattr("bellmax.experiment._log_parquet._SECONDS_BETWEEN_PARTS", 0)
    if not cut:  # the fault: what comes again is kept
        monkeypatch.setattr("bellmax.experiment._log_parquet.ParquetLogger._cut", lambda *_: None)
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 20)  # the first of two calls of a row: its metrics are written, and come again whole
        assert train_run(RUN, run, episodes=4, log="parquet").saved
    before = rows_in(run)
    assert len(before) == 2 * 11
    seen = []
    assert resume_run(run, log=["parquet", seen.append]).evaluation is not None
    rows = rows_in(run)
    assert len(rows) == 2 * 100
    assert seen[0][0]["step"] == rows[20]["step"] > before[20]["step"]
    assert (of_seeds(table_of(run), rows[0]) == rows) == cut


def test_run_survives_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch):
    append, write, count, refused = MetricsFile.append, RunFolder._write_text, iter(range(1000)), []

    def with_five_bytes_left(file, lines=""):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if 10 <= next(count) < 20:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file._path.stat().st_size + 5, hard))
        try:
            append(file, lines)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def without_room_for_the_status(folder, name, text):
        if name == "status.json" and '"running"' in text and '"steps": 0' not in text:
            refused.append(text)
            raise OSError(28, "No space left on device")
        write(folder, name, text)

    monkeypatch.setattr(_drive, "_SECONDS_BETWEEN_STATUS", 0)
    monkeypatch.setattr(RunFolder, "_write_text", without_room_for_the_status)
    monkeypatch.setattr(MetricsFile, "append", with_five_bytes_left)
    with pytest.warns(UserWarning, match=r"rows could not be added to .*metrics.jsonl") as warned:
        train_run(RUN, tmp_path / "run", episodes=4, checkpoint_every=0)
    assert len(warned) == 1
    steps = [row["step"] for row in rows_in(tmp_path / "run")]
    assert len(steps) == 200
    assert steps == sorted(steps)
    assert len(refused) == 100
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "finished"


@pytest.mark.slow
def test_environments_outside_jax_log_seed_by_seed(tmp_path):
    configuration = Configuration("ppo", "gymnasium/CartPole-v1", 2048, 4, 2, 0, {"hidden_sizes": (8,)})
    points = []
    train_run(configuration, tmp_path / "run", episodes=2, log=["parquet,tensorboard", points.append])
    rows = rows_in(tmp_path / "run")
    assert [row for point in points for row in point] == rows == of_seeds(table_of(tmp_path / "run"), rows[0])
    assert [row["seed"] for row in rows] == sorted(row["seed"] for row in rows)
    assert {path.name for path in (tmp_path / "run" / "tensorboard").iterdir()} == {"seed-0", "seed-1"}
