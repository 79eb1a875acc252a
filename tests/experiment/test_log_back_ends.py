"""Log back ends, given rows by hand."""

import itertools
import json
import math
import os
import struct
import sys
import types

import pyarrow.parquet
import pytest
from logged_points import logged, point, told
from tensorboardX.proto.event_pb2 import Event, SessionLog

from bellmax.experiment import _log_parquet
from bellmax.experiment._log_names import make_log
from bellmax.experiment._rows import summary_of


def parquet_rows(folder):
    return pyarrow.parquet.read_table(folder / "metrics.parquet").to_pylist()


def events(folder):
    """Reads event files: each record is a length, its checksum, the event and its checksum."""
    found = []
    for path in sorted(folder.glob("events.*"), key=lambda path: int(path.suffix[1:])):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            found.append(Event.FromString(content[place + 12 : place + 12 + length]))
            place += length + 16
    return found


def scalars(folder):
    return [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in events(folder)
        if event.summary.value
    ]


@pytest.mark.parametrize("between", [0.0, math.inf])
def test_parquet_has_every_row_and_the_summaries(tmp_path, monkeypatch, between):
    monkeypatch.setattr(_log_parquet, "_SECONDS_BETWEEN_PARTS", between)
    logged(tmp_path, "parquet", (10, 20, 30))
    rows = parquet_rows(tmp_path)
    expected = [row for step in (10, 20, 30) for row in [*point(step), summary_of(point(step))]]
    assert rows == [dict.fromkeys(rows[0]) | row for row in expected]
    # Without waiting each point is a part; else the first is, so that there is something, and what is left at the end.
    assert len(list((tmp_path / "metrics.parquet").iterdir())) == (3 if between == 0 else 2)
    schema = pyarrow.parquet.read_table(tmp_path / "metrics.parquet").schema
    assert {str(schema.field(name).type) for name in ("step", "seed", "episodes")} == {"int64"}
    assert {str(schema.field(name).type) for name in ("seconds", "loss", "episode_return_low")} == {"double"}


def test_parquet_can_be_read_after_a_kill(tmp_path):
    # A run that is killed ends nothing: of three points the first is a part, and the next one is half written.
    killed = _log_parquet.ParquetLogger()
    killed.start(told(tmp_path))
    for step in (10, 20, 30):
        killed.write(point(step))
    (tmp_path / "metrics.parquet" / ".part.tmp").write_bytes(b"PAR1 torn")
    assert [(row["step"], row["seed"]) for row in parquet_rows(tmp_path)] == [(10, 0), (10, 1)]
    logged(tmp_path, "parquet", (20,), after=10)
    assert {row["step"] for row in parquet_rows(tmp_path)} == {10, 20}
    assert not (tmp_path / "metrics.parquet" / ".part.tmp").exists()


@pytest.mark.parametrize("between", [0.0, math.inf])
def test_parquet_drops_what_comes_again(tmp_path, monkeypatch, between):
    monkeypatch.setattr(_log_parquet, "_SECONDS_BETWEEN_PARTS", between)
    logged(tmp_path, "parquet", (10, 20, 30, 40))
    logged(tmp_path, "parquet", (25, 30), after=20)
    assert [row["step"] for row in parquet_rows(tmp_path) if row["seed"] == 1] == [10, 20, 25, 30]
    logged(tmp_path, "parquet", (5,), after=0)
    assert [row["step"] for row in parquet_rows(tmp_path) if row["seed"] == 1] == [5]


def test_parquet_on_a_full_disk_is_switched_off(tmp_path):
    (tmp_path / "metrics.parquet").mkdir()
    (tmp_path / "metrics.parquet" / ".part.tmp").symlink_to("/dev/full")
    with pytest.warns(UserWarning, match=r"parquet failed at step 10.*No space left") as warned:
        logged(tmp_path, "parquet", (10, 20))
    assert len(warned) == 1


def test_tensorboard_has_a_folder_a_seed_beside_the_summary(tmp_path):
    logged(tmp_path, "tensorboard", (10, 20))
    folder = tmp_path / "tensorboard"
    summary = summary_of(point(20))
    step, last = scalars(folder)[-1]
    assert step == 20
    assert last == pytest.approx({name: value for name, value in summary.items() if name not in ("step", "seed")})
    for seed in (0, 1):
        of_seed = scalars(folder / f"seed-{seed}")
        assert [(step, values["episode_return"]) for step, values in of_seed] == [(10, 10 + seed), (20, 20 + seed)]


def test_tensorboard_of_one_seed_is_the_summary(tmp_path):
    logged(tmp_path, "tensorboard", (10,), seeds=1)
    assert [path.is_file() for path in (tmp_path / "tensorboard").iterdir()] == [True]
    assert [values["episode_return"] for _, values in scalars(tmp_path / "tensorboard")] == [10]


def test_tensorboard_hides_what_comes_again(tmp_path):
    logged(tmp_path, "tensorboard", (10, 20))
    logged(tmp_path, "tensorboard", (20, 30), after=10)  # within the second: the first file must not be written over
    found = events(tmp_path / "tensorboard")
    starts = [place for place, event in enumerate(found) if event.session_log.status == SessionLog.START]
    assert [found[place].step for place in starts] == [11]
    assert [event.step for event in found[: starts[0]] if event.summary.value] == [10, 20]
    assert [event.step for event in found[starts[0] :] if event.summary.value] == [20, 30]


def test_tensorboard_on_a_full_disk_is_switched_off_and_waits_for_nothing(tmp_path, monkeypatch):
    from tensorboardX import record_writer

    monkeypatch.setattr(record_writer, "open_file", lambda _: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.warns(UserWarning, match=r"tensorboard failed at step 10.*No space left") as warned:
        logged(tmp_path, "tensorboard", range(10, 1000, 10))
    assert len(warned) == 1


@pytest.fixture
def wandb(monkeypatch):
    """Stands for the package: the part of its interface that is used, and what it refuses."""
    stub = types.ModuleType("wandb")
    stub.runs = []

    class Run:
        def __init__(self, settings):
            self.settings, self.logged, self.finished, self.metrics = settings, [], False, {}

        def define_metric(self, name, step_metric=None):
            self.metrics[name] = step_metric

        def log(self, data, step=None, commit=None):
            assert not self.finished
            if not self.logged or step >= self.logged[-1][0]:  # steps may not go back: W&B drops what does
                self.logged.append((step, data))

        def finish(self, exit_code=None, quiet=None):
            self.finished = True

    def init(*, project=None, name=None, dir=None, config=None, id=None, resume=None, mode=None):
        json.dumps(config)
        assert os.path.isdir(dir)
        stub.runs.append(Run(dict(project=project, name=name, config=config, id=id, resume=resume, mode=mode)))
        return stub.runs[-1]

    stub.init = init
    monkeypatch.setitem(sys.modules, "wandb", stub)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return stub


def test_wandb_gets_the_summary_and_the_seeds(tmp_path, wandb):
    logged(tmp_path, "wandb", (10, 20))
    (run,) = wandb.runs
    assert run.finished
    assert run.metrics == {"*": "step"}
    assert (run.settings["project"], run.settings["mode"]) == ("bellmax", "offline")
    assert run.settings["config"]["environment"] == "toy/chain"
    assert [step for step, _ in run.logged] == [10, 20]
    figures = run.logged[1][1]
    assert (figures["step"], figures["seconds"], figures["episode_return"]) == (20, 0.25, 20.5)
    assert (figures["seed_1/episode_return"], figures["seed_1/loss"]) == (21, 0.5)
    logged(tmp_path, "wandb", (10,), seeds=1)
    assert not [name for name in wandb.runs[1].logged[0][1] if name.startswith("seed")]


def test_wandb_goes_on_under_the_same_id(tmp_path, wandb):
    logged(tmp_path, "wandb", (10,))
    logged(tmp_path, "wandb", (20,), after=10)
    logged(tmp_path, "wandb", (10,))
    ids = [run.settings["id"] for run in wandb.runs]
    assert ids[0] == ids[1] != ids[2]
    assert {run.settings["resume"] for run in wandb.runs} == {"allow"}


def test_wandb_keeps_the_rows_of_seeds_that_train_one_after_another(tmp_path, wandb):
    log = make_log("wandb", [])
    with log.opened(told(tmp_path)):
        for seed, step in itertools.product((0, 1), (10, 20)):
            log.write(point(step, seeds=[seed]))
    logged_rows = wandb.runs[0].logged
    assert [step for step, _ in logged_rows] == [10, 20, 30, 40]
    assert [data["step"] for _, data in logged_rows] == [10, 20, 10, 20]
    assert [data.get("seed_1/episode_return") for _, data in logged_rows] == [None, None, 11, 21]


def test_terminal_shows_a_line_a_point(tmp_path, capsys):
    log = make_log("terminal", [])
    with log.opened(told(tmp_path)):
        for step in range(1000, 22000, 1000):
            log.write(point(step, loss=None))
    lines = capsys.readouterr().err.splitlines()
    head = ["step", "seconds", "episodes", *(f"episode_return{part}" for part in ("", "_iqm", "_low", "_high")), "loss"]
    assert lines[0].split() == lines[21].split() == head
    assert len(lines) == 23
    assert lines[1].split()[:5] == ["1,000", "0", "4", "1000", "1000"]
    assert lines[1].split()[-1] == "–"
    assert len({len(line) for line in lines}) == 1


def test_terminal_shows_as_much_as_there_is_room_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logged(tmp_path, "terminal", (10,), seeds=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].split() == ["step", "seconds", "episodes", "episode_return"]
    assert len(lines[0]) <= 50


def test_terminal_names_the_seed_where_seeds_train_one_after_another(tmp_path, capsys):
    log = make_log("terminal", [])
    with log.opened(told(tmp_path)):
        log.write(point(10, seeds=[1]))
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert (lines[0][1], lines[1][1]) == ("seed", "1")
