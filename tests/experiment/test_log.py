"""Rows of metrics on their way to back ends, and what happens when those fail."""

import itertools
import resource
import sys

import numpy as np
import pytest
from logged_points import logged, point, told, write

from bellmax._core import Mean
from bellmax.experiment import Configuration, LoggedRun, Logger, UsageError, sweep
from bellmax.experiment._log import Log
from bellmax.experiment._log_names import make_log, sinks_of
from bellmax.experiment._metrics_file import MetricsFile
from bellmax.experiment._rows import rows_of, summary_of


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
        ("start", "when it started; it gets no row", "start, close"),
        ("point 1", "at step 20; it gets no more rows", "start, point 0, point 1, close"),
        ("close", "when it ended; what it had not written yet is lost", "start, point 0, point 1, point 2, close"),
    ],
)
def test_a_back_end_that_fails_is_switched_off_with_one_warning(tmp_path, at, words, told_in_all):
    broken, seen = Broken(at), []
    log = make_log("", [broken, seen.append])
    with pytest.warns(UserWarning, match="back end Broken failed") as warned:
        write(log, tmp_path, (10, 20, 30))
    assert [str(each.message) for each in warned] == [
        f"the log back end Broken failed {words}, and metrics.jsonl has all: OSError('the moon is full'); "
        "the run goes on"
    ]
    assert ", ".join(broken.told) == told_in_all
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
        ("os:sep", "os:sep is of type str; a log back end is a function of a list of rows, or has start, write and "),
        ("own_logging_too.py:Demanding", "own_logging_too.py:Demanding cannot be called without arguments: TypeError"),
    ],
)
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
        with pytest.warns(UserWarning, match=r"could not be added to .*metrics.jsonl.*goes on"):
            file.append("two\n")
        file.append("three\n")  # without another warning
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
