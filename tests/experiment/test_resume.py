"""Runs that were killed or interrupted end as if they had not been."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from bellmax.experiment import _compile, _drive, _drivers, _train, load_agent, main
from bellmax.experiment._checkpoints import Checkpoints

PPO = "ppo toy/chain --steps 12800 --num-envs 4 --rollout-length 16 --minibatches 2 --hidden-sizes 8"
DQN = "dqn toy/chain --steps 2400 --num-envs 4 --batch-size 8 --warm-up 64 --capacity 512 --hidden-sizes 8"
SAC = "sac Pendulum-v1 --steps 800 --num-envs 4 --batch-size 8 --warm-up 64 --capacity 512 --hidden-sizes 8"
RUNS = {"ppo": PPO, "dqn": DQN, "sac": SAC}

# Each run is in a thread of one process. They wait for each other to compile, and then are slow, so that none is over
# when all are killed.
CHILD = """
import sys, threading, time
from bellmax.experiment import _compile, _drivers, main
_compile._options = lambda: {"xla_backend_optimization_level": 0}
advance = _drivers.Compiled.advance
together = threading.Barrier(len(sys.argv) - 1, timeout=300)
met = set()
def slowly(self, calls):
    if self not in met:
        met.add(self)
        together.wait()
    time.sleep(0.05)
    advance(self, calls)
_drivers.Compiled.advance = slowly
threads = [threading.Thread(target=main, args=(words.split(),)) for words in sys.argv[1:]]
for step in (threading.Thread.start, threading.Thread.join):
    for thread in threads:
        step(thread)
"""


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Optimises little, as the child does: the same program is the same numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compile, "_options", lambda: {"xla_backend_optimization_level": 0})
        yield


def words(name, out):
    return ["train", *RUNS[name].split(), "--episodes", "4", "--checkpoint-every", "0.02", "--out", str(out)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns a function that gives the folder of a run that nothing stopped."""
    folders = {}

    def of(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("whole") / name
            assert main([*words(name, folders[name]), "--checkpoint-every", "0"]) == 0
        return folders[name]

    return of


def content_of(run):
    """What a run leaves, but for the wall-clock times."""
    arrays = jax.tree.leaves(eqx.filter(load_agent(run).state, eqx.is_array))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    status, evaluation = (json.loads((run / f"{name}.json").read_text()) for name in ("status", "evaluation"))
    return (
        [(leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes()) for leaf in arrays],
        [{name: value for name, value in row.items() if name != "seconds"} for row in rows],
        status,
        evaluation,
    )


def assert_same(one, other):
    for mine, theirs in zip(content_of(one), content_of(other), strict=True):
        assert mine == theirs


def killed_runs(folders, delay):
    """Trains in a process of its own and kills it some time after each run has its first checkpoint."""
    lines = [" ".join(words(name, out)) for name, out in folders.items()]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *lines], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    try:
        while not all(list(out.glob("checkpoints/*/manifest.json")) for out in folders.values()):
            assert child.poll() is None, "the runs ended before their first checkpoints"
            assert time.monotonic() < deadline, "the runs make no checkpoints"
            time.sleep(0.01)
        time.sleep(delay)
    finally:
        child.kill()
        child.wait()
    for out in folders.values():
        assert json.loads((out / "status.json").read_text())["state"] == "running"


def test_killed_runs_end_as_if_they_had_not_been(whole, tmp_path):
    folders = {name: tmp_path / name for name in ("ppo", "dqn")}
    killed_runs(folders, random.uniform(0, 0.5))
    assert load_agent(folders["dqn"]).steps > 0  # of the last checkpoint
    for name, out in folders.items():
        assert main(["resume", str(out)]) == 0
        assert_same(out, whole(name))


@pytest.mark.slow
@pytest.mark.parametrize("death", range(7))
def test_runs_killed_at_random_moments_end_as_if_they_had_not_been(whole, tmp_path, death):
    folders = {name: tmp_path / name for name in RUNS}
    killed_runs(folders, random.uniform(0, 0.3 * (death + 1)))
    for name, out in folders.items():
        assert main(["resume", str(out)]) == 0
        assert_same(out, whole(name))


def stop_at(monkeypatch, signals):
    """Sends this process signals at some calls of the driver, each call a trainer step."""
    advance, count = _drivers.Compiled.advance, iter(range(10**6))

    def counted(driver, calls):
        advance(driver, calls)
        number = signals.get(next(count))
        if number is not None:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(_drive, "_SECONDS_BETWEEN_SIGNALS", 0)
    monkeypatch.setattr(_drivers.Compiled, "advance", counted)


def status_of(run):
    return json.loads((run / "status.json").read_text())


@pytest.mark.slow
def test_signals_save_and_resume_goes_on_from_what_is_good(whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, {30: signal.SIGTERM, 60: signal.SIGINT})
        assert main([*words("ppo", out), "--checkpoint-every", "1000"]) == 0
        assert f"`bellmax resume {out}` goes on" in capsys.readouterr().err
        assert status_of(out) == {"state": "interrupted", "steps": 31 * 64, "of": 12800}
        # A call is half a row: what has come of it is seen, and written anew when the row is whole.
        assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 31 * 64
        assert main(["resume", str(out)]) == 130
        assert status_of(out)["steps"] == load_agent(out).steps == 61 * 64
    newest = max((out / "checkpoints").iterdir())
    assert int(newest.name) == 61 * 64
    (newest / "metrics.jsonl").write_text("")
    capsys.readouterr()
    assert main(["resume", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{newest / 'metrics.jsonl'} is damaged" in error
    assert f"the last good checkpoint is {newest.with_name(f'{31 * 64:012}')}: --last-good goes on from there" in error
    assert len(error.splitlines()) == 1
    assert main(["resume", str(out), "--last-good"]) == 0
    assert_same(out, whole("ppo"))
    capsys.readouterr()
    assert main(["resume", str(out)]) == 0
    assert capsys.readouterr().out.startswith("finished already: return ")


def keep_rows(patch):
    patch.setattr(_train.RunFolder, "write_metrics", lambda *_: None)


def forget_the_row_so_far(patch):
    restore = _drivers.Compiled.restore

    def forgetful(driver, load):
        restore(driver, load)
        driver.take_metrics()

    patch.setattr(_drivers.Compiled, "restore", forgetful)


def forget_the_replay(patch):
    restore = _drivers.Compiled.restore

    def forgetful(driver, load):
        kept = jax.tree.map(lambda leaf: leaf.copy(), driver.state.local.kept)
        restore(driver, load)
        driver._state = eqx.tree_at(lambda state: state.local.kept, driver.state, kept)

    patch.setattr(_drivers.Compiled, "restore", forgetful)


def add_chunks_up(patch):
    advance = _drivers.Compiled.advance

    def apart(driver, calls):
        before = jax.tree.map(lambda leaf: leaf.copy(), driver._metrics)
        driver.take_metrics()
        advance(driver, calls)
        driver._metrics = jax.tree.map(jax.numpy.add, before, driver._metrics)

    patch.setattr(_drivers.Compiled, "advance", apart)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, keep_rows, forget_the_row_so_far, forget_the_replay, add_chunks_up])
def test_faults_in_going_on_are_found(whole, tmp_path, monkeypatch, fault):
    with monkeypatch.context() as patch:
        stop_at(patch, {100: signal.SIGTERM})  # five of the six calls of a row
        assert main(words("dqn", tmp_path / "run")) == 0
    if fault:
        fault(monkeypatch)
    assert main(["resume", str(tmp_path / "run")]) == 0
    with contextlib.nullcontext() if fault is None else pytest.raises(AssertionError):
        assert_same(tmp_path / "run", whole("dqn"))


@pytest.mark.slow
def test_failing_checkpoints_do_not_end_a_run(tmp_path, monkeypatch):
    out = tmp_path / "run"
    create = _train.RunFolder.create

    def with_a_file_in_the_way(folder, *arguments, **settings):
        create(folder, *arguments, **settings)
        (folder.path / "checkpoints").write_text("")

    save, tried = Checkpoints.save, []

    def noted(checkpoints, tree, progress, rows):
        tried.append(progress.steps)
        save(checkpoints, tree, progress, rows)

    monkeypatch.setattr(Checkpoints, "save", noted)
    monkeypatch.setattr(_train.RunFolder, "create", with_a_file_in_the_way)
    stop_at(monkeypatch, {150: signal.SIGTERM})
    with pytest.warns(UserWarning, match="a checkpoint could not be saved") as warned:
        assert main(words("ppo", out)) == 143
    assert len(warned) == 1
    # What is left once the row that is not complete has been read must not be saved as if it were all.
    assert tried.count(151 * 64) == 1 < len(tried)
    assert status_of(out)["steps"] == load_agent(out).steps == 151 * 64


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "resume needs one run folder; got 0"),
        (["/nowhere"], "/nowhere is not a run folder: it has no config.json"),
        (["{run}"], "holds no checkpoint: the run ended before its first, or made none"),
        (["{run}", "--steps", "5"], "no flag is named '--steps'"),
    ],
)
def test_what_cannot_be_resumed_says_why(whole, tmp_path, arguments, expected, capsys):
    run = tmp_path / "run"
    shutil.copytree(whole("ppo"), run)
    (run / "status.json").write_text(json.dumps({"state": "running", "steps": 0, "of": 1}))
    assert main(["resume", *(word.format(run=run) for word in arguments)]) == 2
    assert expected in capsys.readouterr().err


def test_run_outside_jax_says_that_it_cannot_be_resumed(whole, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(whole("ppo"), run)
    (run / "status.json").unlink()
    content = json.loads((run / "config.json").read_text())
    content["environment"] = "gymnasium/CartPole-v1"
    (run / "config.json").write_text(json.dumps(content))
    assert main(["resume", str(run)]) == 2
    assert "is outside JAX: the state of such an environment cannot be kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--keep", "0"], "keep must be at least 1; got 0"),
        (["--checkpoint-every", "-1"], "checkpoint-every must be seconds, or 0 for none; got -1"),
        (["--checkpoint-every", "inf"], "checkpoint-every must be seconds, or 0 for none; got inf"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, flags, expected, capsys):
    out: Path = tmp_path / "run"
    assert main([*words("ppo", out), *flags]) == 2
    assert expected in capsys.readouterr().err
    assert not out.exists()
