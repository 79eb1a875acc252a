"""Environments in processes of their own: same numbers, clear ends."""

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest

from bellmax.envs import GymnasiumEnvironment
from bellmax.experiment import _train as training_run
from bellmax.experiment import load_agent, main
from bellmax.experiment._workers import WorkerError, WorkerLanes


class Moody(gymnasium.Env):
    """Counts its steps beside a random number; action 1 raises, action 2 hangs."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, nap=60.0):
        self.nap = nap

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        if action == 1:
            raise OSError("the kettle boiled over")
        time.sleep(self.nap if action == 2 else 0)
        self.time += 1
        return self._observe(), float(self.time), self.time % 3 == 0, False, {}

    def _observe(self):
        return np.array([self.time, self.np_random.normal()], np.float32)


@pytest.mark.slow
def test_numbers_do_not_depend_on_workers_and_a_fault_is_told():
    environment = GymnasiumEnvironment.of(functools.partial(Moody, nap=60.0))
    alone, apart = environment.start(3), WorkerLanes(environment, 3, 2)
    np.testing.assert_array_equal(apart.reset(seed=5), alone.reset(seed=5))
    for _ in range(7):
        for one, other in zip(apart.step(np.zeros(3, int)), alone.step(np.zeros(3, int)), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
    words = r"worker 1 \(lanes 1 to 2, pid \d+\) raised: lane 2: .*kettle"
    with pytest.raises(WorkerError, match=words) as raised:
        apart.step(np.array([0, 0, 1]))
    assert "in step" in raised.value.remote
    assert "OSError" in raised.value.remote
    # An answer that is left over can not pass for the next.
    assert not multiprocessing.active_children()
    with pytest.raises(WorkerError, match="have ended"):
        apart.step(np.zeros(3, int))


@pytest.mark.slow
def test_worker_that_hangs_is_ended():
    apart = WorkerLanes(GymnasiumEnvironment.of(Moody), 1, 1, step_timeout=1.0)
    apart.reset(seed=0)
    with pytest.raises(WorkerError, match=r"worker 0 \(lane 0, pid \d+\) did not answer within 1 s"):
        apart.step(np.array([2]))
    assert not multiprocessing.active_children()


def test_what_does_not_pickle_is_said():
    with pytest.raises(ValueError, match="must pickle to reach a worker"):
        WorkerLanes(GymnasiumEnvironment.of(lambda: Moody()), 2, 1)


SMALL = ["--steps", "4096", "--rollout-length", "16", "--num-envs", "4", "--hidden-sizes", "8", "--episodes", "8"]
NAME = "gymnasium/CartPole-v1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("host") / "run"
    assert main(["train", "ppo", NAME, *SMALL, "--seeds", "2", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_run_folder_is_that_of_any_run(run, capsys):
    names = {"agent", "config.json", "curve.png", "evaluation.json", "metrics.jsonl", "status.json"}
    assert {path.name for path in run.iterdir()} == names
    assert json.loads((run / "status.json").read_text()) == {"state": "finished", "steps": 4096, "of": 4096}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == sorted(row["seed"] for row in rows)
    assert {row["seed"] for row in rows} == {0, 1}
    for seed in (0, 1):
        steps = [row["step"] for row in rows if row["seed"] == seed]
        assert steps == sorted(set(steps))
        assert steps[-1] == 4096
    assert load_agent(run).steps == 4096
    assert main(["evaluate", str(run), "--episodes", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run / "evaluation.json").read_text())


def test_killed_worker_ends_the_run_with_a_word_and_an_agent(tmp_path, monkeypatch, capsys):
    write = training_run.RunFolder.append_metrics

    def kill_after_first_row(folder, rows):
        write(folder, rows)
        for process in multiprocessing.active_children()[:1]:
            os.kill(process.pid, signal.SIGKILL)

    monkeypatch.setattr(training_run.RunFolder, "append_metrics", kill_after_first_row)
    out = tmp_path / "run"
    assert main(["train", "ppo", NAME, *SMALL, "--steps", "1000000", "--workers", "1", "--out", str(out)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("bellmax: environment worker 0 (lanes 0 to 3, pid ")
    assert error.endswith(") died with signal 9")
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "failed"
    assert 0 < status["steps"] < status["of"]
    assert load_agent(out).steps >= status["steps"]
    assert not multiprocessing.active_children()
    assert main(["evaluate", str(out), "--episodes", "4"]) == 0


def test_workers_are_refused_where_the_environment_is_compiled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ppo", "toy/bandit", "--workers", "2"]) == 2
    assert "workers are for environments outside JAX; toy/bandit is compiled" in capsys.readouterr().err
    assert main(["train", "ppo", NAME, "--num-envs", "2", "--workers", "3"]) == 2
    assert "workers must be in [0, num_envs 2]; got 3" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_run_equals_itself_with_workers(run, tmp_path):
    out = tmp_path / "run"
    assert main(["train", "ppo", NAME, *SMALL, "--seeds", "2", "--workers", "2", "--out", str(out)]) == 0
    for name in ("evaluation.json", "status.json"):
        assert json.loads((out / name).read_text()) == json.loads((run / name).read_text())


def is_running(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")  # nobody may be there to bury what is dead


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_the_run(tmp_path, number):
    code = "import sys; from bellmax.experiment import main; sys.exit(main())"
    words = ["train", "ppo", NAME, "--steps", "1000000", "--workers", "2", "--out", str(tmp_path / "run")]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 180
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(workers) >= 2
    if number == signal.SIGKILL:
        process.kill()
    else:  # as a terminal and a queue do: to the whole group
        os.killpg(process.pid, number)
    assert process.wait(60) == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    if number != signal.SIGKILL:
        assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "interrupted"
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(is_running, workers))
