"""Log back ends, given rows by hand."""

import itertools
import json
import math
import os
import resource
import struct
import sys
import types

import numpy as np
import pyarrow.parquet
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from bellmax._core import Mean
from bellmax.experiment import Configuration, LoggedRun, Logger, UsageError, _log_parquet, sweep
from bellmax.experiment._log import Log
from bellmax.experiment._log_names import make_log, sinks_of
from bellmax.experiment._metrics_file import MetricsFile
from bellmax.experiment._rows import rows_of, summary_of


def told(folder, seeds=2, after=None):
    return LoggedRun(Configuration("td", "toy/chain", 100, 4, seeds, 0, {}), folder, after)


def point(step, seeds=(0, 1), loss=0.5):
    return [
        {"step": step, "seed": seed, "seconds": 0.25, "episodes": 2, "episode_return": step + seed, "loss": loss}
        for seed in seeds
    ]


def logged(folder, names, steps, *, seeds=2, after=None):
    """Gives back ends some points of a run."""
    log = make_log(*sinks_of(names))
    with log.opened(told(folder, seeds, after)):
        for step in steps:
            log.write(point(step, range(seeds)))


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


class Broken:
    """A back end that fails at one thing, and notes what it is told."""

    def __init__(self, at):
        self.at, self.told, self.points = at, [], itertools.count()

    def start(self, run):
        self._do("start")

    def write(self, rows):
        self._do(f"point {next(self.points)}")

    def close(self):
        self._do("close")

    def _do(self, what):
        self.told.append(what)
        if what == self.at:
            raise OSError("the moon is full")


def test_rows_hold_means_and_none_where_there_is_no_value():
    metrics = {
        "episode_return": Mean(np.array([6.0, 0.0]), np.array([3.0, 0.0])),
        "loss": Mean(np.array([np.inf, 2.0]), np.array([1.0, 4.0])),
    }
    assert rows_of(metrics, 64, 1.23456, [4, 5]) == [
        {"step": 64, "seed": 4, "seconds": 1.235, "episodes": 3, "episode_return": 2.0, "loss": None},
        {"step": 64, "seed": 5, "seconds": 1.235, "episodes": 0, "episode_return": None, "loss": 0.5},
    ]


def test_summary_is_of_the_seeds_that_have_a_value():
    rows = point(8, seeds=range(5))
    rows[4]["episode_return"] = None
    rows[0]["loss"] = None
    rows[1]["loss"] = 1.5
    rows[0]["episode_return"] = -100.0
    # Returns -100, 9, 10, 11: their mean is -17.5, that of the middle half 9.5. Losses 1.5, 0.5, 0.5, 0.5.
    summary = summary_of(rows)
    low, high = summary.pop("episode_return_low"), summary.pop("episode_return_high")
    assert -100 <= low < -17.5 < high <= 11
    assert summary == {
        "step": 8, "seed": None, "seconds": 0.25, "episodes": 10,
        "episode_return": -17.5, "loss": 0.75, "episode_return_iqm": 9.5,
    }  # fmt: skip


def test_summary_of_one_seed_has_no_interval_and_of_none_no_value():
    row = point(8, seeds=[0])[0]
    one = {"seed": None, "episode_return_iqm": 8.0, "episode_return_low": None, "episode_return_high": None}
    assert summary_of([row]) == row | one
    none = summary_of([row | {"episode_return": None}])
    assert none["episode_return"] is none["episode_return_iqm"] is None


@pytest.mark.parametrize(
    ("at", "words", "told_in_all"),
    [
        ("start", "when it started; it gets no row", ["start", "close"]),
        ("point 1", "at step 20; it gets no more rows", ["start", "point 0", "point 1", "close"]),
        ("close", "when it ended; what it had not written yet is lost", ["start", "point 0", "point 1", "point 2", "close"]),
    ],
)  # fmt: skip
def test_a_back_end_that_fails_is_switched_off_with_one_warning(tmp_path, at, words, told_in_all):
    broken, seen = Broken(at), []
    log = make_log("", [broken, seen.append])
    with pytest.warns(UserWarning) as warned, log.opened(told(tmp_path)):
        for step in (10, 20, 30):
            log.write(point(step))
    assert [str(each.message) for each in warned] == [
        f"the log back end Broken failed {words}, and metrics.jsonl has all: OSError('the moon is full'); the run goes on"
    ]
    assert broken.told == told_in_all
    assert [rows[0]["step"] for rows in seen] == [10, 20, 30]


def test_a_back_end_ends_when_the_run_fails(tmp_path):
    sound = Broken("")
    with pytest.raises(KeyError), Log([("sound", sound)]).opened(told(tmp_path)):
        raise KeyError
    assert sound.told == ["start", "close"]


def test_what_a_function_does_to_its_rows_changes_no_others(tmp_path):
    seen = []
    log = make_log("", [lambda rows: rows[0].clear(), seen.append])
    rows = point(10)
    with log.opened(told(tmp_path)):
        log.write(rows)
    assert rows == seen[0][:2] == point(10)
    assert seen[0][2] == summary_of(rows)


def test_seeds_that_train_one_after_another_have_no_summary(tmp_path):
    seen = []
    log = make_log("", [seen.append])
    with log.opened(told(tmp_path)):
        log.write(point(10, seeds=[0]))
    assert seen == [point(10, seeds=[0])]


@pytest.mark.parametrize("between", [0.0, math.inf])
def test_parquet_has_every_row_and_the_summaries(tmp_path, monkeypatch, between):
    monkeypatch.setattr(_log_parquet, "_SECONDS_BETWEEN_PARTS", between)
    logged(tmp_path, "parquet", (10, 20, 30))
    rows = parquet_rows(tmp_path)
    expected = [row for step in (10, 20, 30) for row in [*point(step), summary_of(point(step))]]
    assert rows == [dict.fromkeys(rows[0]) | row for row in expected]
    # Without waiting each point is a part; else the first is, so that there is something, and the rest comes at the end.
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

    monkeypatch.setattr(record_writer, "open_file", lambda _: open("/dev/full", "wb"))
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
    head = ["step", "seconds", "episodes", "episode_return", "episode_return_iqm", "episode_return_low", "episode_return_high", "loss"]  # fmt: skip
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


OWN = """
calls = []
def function(rows):
    calls.append(rows)
class BackEnd:
    def start(self, run): calls.append(run)
    def write(self, rows): calls.append(rows)
    def close(self): calls.append("close")
class Demanding:
    def __init__(self, size): pass
number = 3
"""


def test_functions_and_back_ends_of_the_users_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_logging.py").write_text(OWN)
    logged(tmp_path, "own_logging:function, own_logging:BackEnd", (10,))
    calls = sys.modules["own_logging"].calls
    assert [type(call) for call in calls] == [LoggedRun, list, list, str]
    assert isinstance(sys.modules["own_logging"].BackEnd(), Logger)
    logged(tmp_path, f"{tmp_path / 'own_logging.py'}:function", (10,))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tensorbord", "no log back end is named 'tensorbord'; the nearest are tensorboard"),
        ("nowhere:log", "nowhere cannot be imported: ModuleNotFoundError"),
        ("json:log", "json has no 'log'; it has"),
        ("os:sep", "os:sep is of type str; a log back end is a function of a list of rows, or has start, write and close"),
        ("own_logging_too.py:Demanding", "own_logging_too.py:Demanding cannot be called without arguments: TypeError"),
    ],
)  # fmt: skip
def test_what_is_no_back_end_is_refused(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_logging_too.py").write_text(OWN)
    with pytest.raises(UsageError) as refused:
        make_log(f"terminal,{name}", [])
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("parquet", "pyarrow", "log"), ("tensorboard", "tensorboardX", "log"), ("wandb", "wandb", "wandb")],
)
def test_a_package_that_lacks_is_named(monkeypatch, name, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"{name} needs {package}.*pip install 'bellmax\[{extra}\]'"):
        make_log(name, [])


def test_what_is_given_is_divided_into_names_and_the_rest():
    broken = Broken("")
    assert sinks_of("") == ("", [])
    assert sinks_of("parquet, terminal,,parquet") == ("parquet,terminal", [])
    assert sinks_of(print) == ("", [print])
    assert sinks_of(["wandb", print, broken, "terminal"]) == ("wandb,terminal", [print, broken])


def test_the_first_process_alone_logs(monkeypatch):
    from bellmax.experiment import _hosts

    monkeypatch.setattr(_hosts, "is_first", lambda: False)
    assert make_log("parquet", [print])._loggers == []


def test_a_sweep_has_no_back_ends(tmp_path):
    configuration = Configuration("td", "toy/chain", 100, 4, 1, 0, {})
    with pytest.raises(UsageError, match="a sweep has no log back ends"):
        sweep(configuration, {"num_envs": [2, 4]}, tmp_path / "sweep", log="parquet")
    assert not (tmp_path / "sweep").exists()


def test_rows_that_a_full_disk_refuses_are_written_when_there_is_room(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    file.append("one\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))  # the disk takes two of four letters
        with pytest.warns(UserWarning, match=r"could not be added to .*metrics.jsonl.*goes on") as warned:
            file.append("two\n")
            file.append("three\n")
        assert len(warned) == 1
        assert path.read_text() == "one\n"
        assert file.text() == "one\ntwo\nthree\n"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.append()
    assert path.read_text() == file.text() == "one\ntwo\nthree\n"
    file.append()
    assert path.read_text() == "one\ntwo\nthree\n"


def test_metrics_on_a_device_that_is_full_are_warned_of(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.symlink_to("/dev/full")
    with pytest.warns(UserWarning, match="No space left on device"):
        MetricsFile(path).append("row\n")
