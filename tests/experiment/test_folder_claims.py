"""Who may write to a folder, what is deleted, and what is said instead."""

import os
import shutil
import signal

import numpy as np
import pytest

from bellmax.experiment import Settings, UsageError, bootstrap_interval, main
from bellmax.experiment import _checkpoints as checkpoints
from bellmax.experiment import _statistics as statistics
from bellmax.experiment._checkpoint import Progress
from bellmax.experiment._configuration import Configuration
from bellmax.experiment._folder import RunFolder
from bellmax.experiment._log_names import make_log
from bellmax.experiment._signals import interruptible
from bellmax.experiment._train import Run

RUN = Configuration("td", "toy/bandit", steps=64, num_envs=4, seeds=1, key=0, hyperparameters={})
OTHER = Configuration("td", "toy/bandit", steps=64, num_envs=4, seeds=3, key=0, hyperparameters={})
SWEEP = ["sweep", "td", "toy/bandit", "--steps", "64", "--num-envs", "4", "--learning-rate", "0.1,0.2"]


def create(path, configuration=RUN, *, replace=False):
    """Claims a folder as a run does; another object stands for another process."""
    folder = RunFolder(path)
    return folder.claimed(lambda: folder.create(configuration, Settings(), replace=replace))


def test_two_that_begin_at_once_do_not_share_a_folder(tmp_path):
    """The second is refused before it writes or deletes anything."""
    run = tmp_path / "run"
    for replace in (False, True):
        with create(run, replace=replace):
            (run / "metrics.jsonl").write_text("{}\n")
            for again in (False, True):
                with pytest.raises(UsageError, match="another process is writing"), create(run, OTHER, replace=again):
                    pass
            assert RunFolder(run).configuration().seeds == 1
            assert (run / "metrics.jsonl").exists()
    with create(run, OTHER, replace=True):
        assert RunFolder(run).configuration().seeds == 3
        assert not (run / "metrics.jsonl").exists()


def test_what_is_half_deleted_can_be_deleted(tmp_path, monkeypatch):
    """A run folder is known by its config.json, which therefore goes last."""
    run = tmp_path / "run"
    with create(run):
        (run / "agent").mkdir()
        (run / "agent" / "file").write_text("")
        (run / "status.json").write_text("{}")

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(Killed), create(run, OTHER, replace=True):
            pass
    with create(run, OTHER, replace=True):
        assert RunFolder(run).configuration().seeds == 3


def test_leftovers_of_a_process_that_was_killed_are_in_nobodys_way(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".config.json.tmp").write_text("{")
    with create(run):
        assert RunFolder(run).configuration().seeds == 1


@pytest.mark.parametrize("replace", [False, True])
def test_what_is_no_run_stays(tmp_path, replace):
    (tmp_path / "thesis.tex").write_text("words")
    with pytest.raises(UsageError, match=r"thesis\.tex|exists"), create(tmp_path, replace=replace):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "words"


def test_a_folder_below_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"), create(tmp_path / "file" / "run"):
        pass
    assert main(["evaluate", str(tmp_path / "file")]) == 2
    assert "is not a run folder" in capsys.readouterr().err


def test_a_configuration_of_other_bytes_is_refused(tmp_path, capsys):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe")
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "config.json cannot be read" in capsys.readouterr().err


def test_one_sweep_at_a_time(tmp_path, capsys):
    with RunFolder(tmp_path / "sweep").locked():
        assert main([*SWEEP, "--out", str(tmp_path / "sweep"), "--replace"]) == 2
    assert "another process is writing" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], pytest.param(["--replace"], marks=pytest.mark.slow)])
def test_a_sweep_deletes_no_file_of_the_user(tmp_path, capsys, words):
    """Neither with the whole folder nor with a run that is trained anew."""
    out = tmp_path / "sweep"
    assert main([*SWEEP, "--out", str(out), "--episodes", "4"]) == 0
    run = next((out / "runs").iterdir())
    (run / "episode.gif").write_text("a film")
    (run / "status.json").unlink()
    capsys.readouterr()
    assert main([*SWEEP, "--out", str(out), "--episodes", "4", *words]) == 2
    assert "is not a run folder (it holds episode.gif)" in capsys.readouterr().err
    assert (run / "episode.gif").exists()


@pytest.mark.slow
def test_tables_are_there_though_nothing_is_left_to_train(tmp_path):
    out = tmp_path / "sweep"
    assert main([*SWEEP, "--out", str(out), "--episodes", "4"]) == 0
    wanted = (out / "summary.csv").read_text()
    (out / "summary.csv").unlink()
    (out / "results.csv").unlink()
    assert main([*SWEEP, "--out", str(out), "--episodes", "4"]) == 0
    assert (out / "summary.csv").read_text() == wanted
    assert (out / "results.csv").exists()


def test_a_run_that_goes_on_has_no_agent_of_before(tmp_path):
    """Killed later, it would else be taken for the newest."""

    class Driver:
        def restore(self, load):
            pass

    class Checkpoint:
        rows, progress, path, load = "", Progress(), tmp_path / "run" / "checkpoints" / "000000000016", None

    with create(tmp_path / "run"):
        folder = RunFolder(tmp_path / "run")
        (folder.path / "agent").mkdir()
        run = Run(RUN.trainer(), RUN, folder, Settings(), Checkpoint(), log=make_log("", ()))
        run._begun(Driver())
        assert not (folder.path / "agent").exists()


def test_a_signal_reaches_all_that_wait_for_one():
    """What stops a run, while it is evaluated too, stops the sweep around it."""
    with interruptible() as outer:
        with interruptible() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
        assert (outer.signal, inner.signal) == (signal.SIGTERM, signal.SIGTERM)
        outer.signal = None
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.signal == signal.SIGTERM
    with interruptible() as later:
        pass
    assert later.signal is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--keep", "0"], "keep must be at least 1"),
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--devices", "99"], "devices must be from 1 to"),
        (["--log", "tensorbord"], "no log back end is named 'tensorbord'"),
    ],
)
def test_a_dry_run_checks_how_the_run_is_carried_out(words, expected, capsys):
    assert main(["train", "td", "toy/bandit", "--dry-run", *words]) == 2
    assert expected in capsys.readouterr().err


def test_a_large_bootstrap_is_drawn_in_parts(monkeypatch):
    values, shapes = np.random.default_rng(0).normal(size=200), []

    def mean(draws, axis):
        shapes.append(draws.shape)
        return draws.mean(axis)

    whole = bootstrap_interval(values)
    monkeypatch.setattr(statistics, "_DRAWN_AT_ONCE", 30_000)
    parts = bootstrap_interval(values, statistic=mean)
    np.testing.assert_allclose(parts, whole, atol=0.01)
    assert sum(rows for rows, _ in shapes) == 10_000
    assert max(rows * size for rows, size in shapes) <= 30_000


@pytest.mark.parametrize("process", [0, 1])
def test_no_process_saves_alone(tmp_path, monkeypatch, process):
    """Where process 0 cannot prepare a checkpoint, none begins the save that all must take part in."""

    def together(*numbers):
        return np.array([[1], list(numbers)]) if fails else np.array([[0], list(numbers)])

    fails, saved = True, []
    monkeypatch.setattr(checkpoints, "together", together)
    monkeypatch.setattr(checkpoints.jax, "process_index", lambda: process)
    monkeypatch.setattr(checkpoints, "save_arrays", lambda *_: saved.append(1))
    if process == 0:
        (tmp_path / "checkpoints").write_text("")  # in the way
    mine = checkpoints.Checkpoints(tmp_path / "checkpoints", "")
    with pytest.warns(UserWarning, match="a checkpoint could not be saved"):
        mine.save({"a": np.zeros(2)}, Progress(1, 16), "")
    assert not saved
    assert not mine.wait()
