"""Several processes that train one run: the same numbers, one folder, and an end when one of them ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from bellmax import experiment
from bellmax.experiment import UsageError
from bellmax.experiment._hosts import Hosts, agree, on_first, together

SMALL = ["ppo", "toy/chain", "--num-envs", "4", "--rollout-length", "8", "--epochs", "2", "--minibatches", "2"]
SMALL += ["--hidden-sizes", "8", "--episodes", "4"]
PATIENCE = 170


def start(words, process=None, *, port=0, devices=1, processes=2):
    """Starts `bellmax`, as one of several processes if it is given a number."""
    hosts = [] if process is None else ["--coordinator", f"localhost:{port}", "--processes", str(processes)]
    hosts += [] if process is None else ["--process-id", str(process)]
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    environment |= {"JAX_NUM_CPU_DEVICES": str(devices), "NPROC": "16", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "from bellmax.experiment import main; raise SystemExit(main())", *words, *hosts]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_two(words, *more, devices=1):
    """Starts two processes; what `more` says is added to the words of one each."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port = one.getsockname()[1]
    extra = more or ([], [])
    return [start([*words, *extra[process]], process, port=port, devices=devices) for process in range(2)]


def ends(processes, patience=PATIENCE):
    """Waits for processes; returns the exit code and what each said."""
    found = []
    try:
        for process in processes:
            out, error = process.communicate(timeout=patience)
            found.append((process.returncode, out, error))
    finally:
        for process in processes:
            process.kill()
    return found


def finished(words):
    assert experiment.main(words) == 0


def largest_difference(one, other):
    pairs = zip(
        jax.tree.leaves(experiment.load_agent(one).state),
        jax.tree.leaves(experiment.load_agent(other).state),
        strict=True,
    )
    return max(float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float)))) for a, b in pairs)


def rows(run):
    """The rows of metrics, without the clock's column."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def status(run):
    return json.loads((run / "status.json").read_text())


def assert_same_run(one, other):
    assert largest_difference(one, other) <= 1e-6
    assert len(rows(one)) == len(rows(other))
    for found, wanted in zip(rows(one), rows(other), strict=True):
        assert found.keys() == wanted.keys()
        assert (found["step"], found["seed"], found["episodes"]) == (wanted["step"], wanted["seed"], wanted["episodes"])
    assert (one / "evaluation.json").read_text() == (other / "evaluation.json").read_text()


def test_two_processes_equal_one(tmp_path):
    words = ["train", *SMALL, "--steps", "96", "--checkpoint-every", "0"]
    both = ends(start_two([*words, "--out", str(tmp_path / "two")]))
    assert [code for code, *_ in both] == [0, 0], both
    finished([*words, "--out", str(tmp_path / "one")])
    assert_same_run(tmp_path / "two", tmp_path / "one")
    # One speaks, the other is silent.
    assert "95 % interval" in both[0][1]
    assert "95 % interval" not in both[1][1]
    assert not both[1][2]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["shard_map", "jit"])
def test_two_processes_of_two_devices_equal_one_of_four(tmp_path, how):
    words = ["train", *SMALL, "--steps", "96", "--checkpoint-every", "0", "--how", how]
    both = ends(start_two([*words, "--out", str(tmp_path / "two"), "--check-replicas", "1"], devices=2))
    assert [code for code, *_ in both] == [0, 0], both
    finished([*words, "--out", str(tmp_path / "one"), "--devices", "4"])
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_seeds_spread_over_processes_equal_one_process(tmp_path):
    words = ["train", *SMALL, "--steps", "96", "--seeds", "2"]
    both = ends(start_two([*words, "--out", str(tmp_path / "two"), "--spread", "seeds"]))
    assert [code for code, *_ in both] == [0, 0], both
    finished([*words, "--out", str(tmp_path / "one")])
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "what"), [("--learning-rate=1e-3", "another configuration than"), ("--how=jit", "another setting than")]
)
def test_processes_that_were_told_different_things_do_not_begin(tmp_path, other, what):
    words = ["train", *SMALL, "--steps", "96", "--out", str(tmp_path / "run")]
    for code, _, error in ends(start_two(words, [], [other])):
        assert code == 2
        assert f"process 1 has {what} process 0" in " ".join(error.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_pmap_is_refused(tmp_path):
    words = ["train", *SMALL, "--steps", "96", "--out", str(tmp_path / "run"), "--how", "pmap"]
    for code, _, error in ends(start_two(words)):
        assert code == 2
        assert "pmap trains in one process; several take shard_map or jit" in error


@pytest.mark.slow
def test_folder_that_exists_stops_all(tmp_path):
    (tmp_path / "a file").touch()
    both = ends(start_two(["train", *SMALL, "--steps", "96", "--out", str(tmp_path)]))
    assert [code for code, *_ in both] == [2, 2]
    assert "exists; --replace" in both[0][2]
    assert "process 0 could not begin" in both[1][2]


def begun(run, processes):
    """Starts a run too long to end by itself and waits for its first checkpoint."""
    until = time.monotonic() + PATIENCE
    while not list(run.glob("checkpoints/*/manifest.json")):
        assert all(process.poll() is None for process in processes), ends(processes)
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_killed_process_ends_the_other_and_the_run_goes_on_alone(tmp_path):
    words = ["train", *SMALL, "--steps", "160000", "--checkpoint-every", "0.2"]
    run = tmp_path / "run"
    both = start_two([*words, "--out", str(run)], devices=2)
    begun(run, both)
    both[1].kill()
    killed = time.monotonic()
    (code, _, error), _ = ends(both)
    assert time.monotonic() - killed < 60
    assert code not in (0, None)
    assert any(text in error for text in ("another process has died", "another task died", "unhealthy", "heartbeat")), (
        error
    )
    assert status(run)["state"] != "finished"
    finished(["resume", str(run), "--devices", "1"])
    assert status(run) == {"state": "finished", "steps": 160_000, "of": 160_000}
    assert [row["step"] for row in rows(run)] == sorted({row["step"] for row in rows(run)})


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_sigterm_at_one_process_saves_at_the_same_step_everywhere(tmp_path, which):
    run = tmp_path / "run"
    both = start_two(["train", *SMALL, "--steps", "400000", "--checkpoint-every", "0.2", "--out", str(run)])
    begun(run, both)
    both[which].send_signal(signal.SIGTERM)
    assert [code for code, *_ in ends(both)] == [0, 0]
    steps = status(run)["steps"]
    assert status(run)["state"] == "interrupted"
    newest = sorted(path.parent.name for path in run.glob("checkpoints/*/manifest.json"))[-1]
    assert int(newest) == steps


@pytest.mark.slow
def test_work_that_takes_too_long_ends_the_process():
    script = "import time; from bellmax.experiment._hosts import watched\nwith watched(0.5): time.sleep(60)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert found.returncode == 1
    assert "Timeout" in found.stderr
    assert "in <module>" in found.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coordinator": "localhost:1"}, "belong together"),
        ({"coordinator": "localhost:1", "processes": 2, "process_id": 2}, "process-id must be from 0 to 1; got 2"),
        ({"distributed": True, "processes": 2}, "asks the cluster"),
    ],
)
def test_flags_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Hosts(**settings)


def test_one_process_alone_agrees_with_itself():
    Hosts().join()
    agree({"configuration": "any"})
    np.testing.assert_array_equal(together(3, 4), [[3, 4]])
    done = []
    on_first(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(UsageError, match="no"):
        on_first(refuse)


def refuse():
    raise UsageError("no")
