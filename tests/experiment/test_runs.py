"""Runs and their folders, through the command line in this process."""

import json
import os
import signal
import subprocess
import sys
import threading

import equinox as eqx
import jax
import numpy as np
import pytest

from bellmax.experiment import _drive, load_agent, main
from bellmax.experiment import _train as training_run

SMALL = ["--steps", "2048", "--rollout-length", "16", "--num-envs", "4", "--hidden-sizes", "8", "--episodes", "8"]
FAST = ["--learning-rate", "3e-2", "--seeds", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "bandit"
    assert main(["train", "ppo", "toy/bandit", *SMALL, *FAST, "--out", str(out)]) == 0
    return out


def evaluated(capsys, *words):
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_folder_holds_what_is_promised(run):
    assert {path.name for path in run.iterdir()} == {
        "agent",
        "config.json",
        "curve.png",
        "evaluation.json",
        "metrics.jsonl",
        "status.json",
    }
    assert json.loads((run / "status.json").read_text()) == {"state": "finished", "steps": 2048, "of": 2048}
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    configuration = json.loads((run / "config.json").read_text())
    assert configuration["algorithm"] == "ppo"
    assert configuration["versions"]["jax"] == jax.__version__


def test_metrics_have_a_row_a_seed_at_each_point(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows[:4]] == [0, 1, 0, 1]
    steps = [row["step"] for row in rows if row["seed"] == 0]
    assert steps == sorted(set(steps))
    assert steps[-1] == 2048
    # Every step of the bandit ends an episode.
    assert sum(row["episodes"] for row in rows if row["seed"] == 0) == 2048
    assert all(0 <= row["episode_return"] <= 1 for row in rows)


def test_agent_learned_and_its_leaves_have_a_seeds_axis(run, capsys):
    agent = load_agent(run)
    assert agent.steps == 2048
    assert {leaf.shape[0] for leaf in jax.tree.leaves(eqx.filter(agent.state, eqx.is_array))} == {2}
    assert evaluated(capsys, run)["mean"] == 1.0


@pytest.mark.slow
def test_flags_may_stand_before_the_names(run, tmp_path, capsys):
    assert main(["evaluate", "--episodes", "8", "--json", str(run)]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 8
    assert main(["train", "ppo", *SMALL, "toy/bandit", "--steps", "64", "--out", str(tmp_path / "run")]) == 0


@pytest.mark.slow
def test_ctrl_c_in_the_last_evaluation_leaves_no_run_running(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "evaluate_agent", interrupt)
    assert main(["train", "ppo", "toy/bandit", *SMALL, "--steps", "64", "--out", str(tmp_path / "run")]) == 130
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "interrupted"


@pytest.mark.slow
def test_one_seed_has_the_axis_too_and_equals_the_first_of_many(tmp_path):
    # Three updates: later, rounding makes the trajectories part.
    words = ["train", "ppo", "toy/bandit", *SMALL, "--steps", "192"]
    for seeds in ("1", "2"):
        assert main([*words, "--seeds", seeds, "--out", str(tmp_path / seeds)]) == 0
    one, two = (eqx.filter(load_agent(tmp_path / seeds).state.model, eqx.is_array) for seeds in ("1", "2"))
    for alone, among in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert alone.shape[0] == 1
        np.testing.assert_allclose(alone[0], among[0], atol=1e-6)


def test_evaluation_repeats_for_a_key_and_is_what_the_run_wrote(run, capsys):
    first = evaluated(capsys, run, "--episodes", "8")
    assert evaluated(capsys, run, "--episodes", "8") == first
    assert json.loads((run / "evaluation.json").read_text()) == first
    assert {"mean", "low", "high", "episodes", "seeds"} <= set(first)
    assert first["low"] <= first["mean"] <= first["high"]
    assert (first["episodes"], first["seeds"]) == (8, 2)


@pytest.mark.slow
def test_sampled_evaluation_explores(tmp_path, capsys):
    # A learning rate of zero leaves the first policy, which is nearly uniform: its mode always pays the same, its
    # samples do not.
    out = tmp_path / "untrained"
    assert main(["train", "ppo", "toy/bandit", *SMALL, "--learning-rate", "0", "--out", str(out)]) == 0
    deterministic, sampled = evaluated(capsys, out), evaluated(capsys, out, "--sampled")
    assert deterministic["low"] == deterministic["high"]
    assert 0.3 < sampled["mean"] < 0.7
    assert sampled["low"] < sampled["high"]
    assert evaluated(capsys, out, "--sampled", "--key", "1")["mean"] != sampled["mean"]


def test_run_repeats_bit_for_bit(run, tmp_path):
    assert main(["train", "ppo", "toy/bandit", *SMALL, *FAST, "--out", str(tmp_path / "again")]) == 0
    once, again = (eqx.filter(load_agent(path).state, eqx.is_array) for path in (run, tmp_path / "again"))
    assert all(map(np.array_equal, jax.tree.leaves(once), jax.tree.leaves(again)))


@pytest.mark.slow
def test_dqn_runs_on_slashed_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--steps", "800", "--warm-up", "64", "--batch-size", "32", "--hidden-sizes", "8", "--episodes", "4"]
    assert main(["train", "dqn", "toy/chain", *words, "--epsilon", "linear:1:0:0.5"]) == 0
    assert (tmp_path / "runs" / "dqn-toy-chain" / "evaluation.json").exists()
    assert "1 seed, 4 episodes" in capsys.readouterr().out


@pytest.mark.slow
def test_existing_run_is_refused_then_replaced(run, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text("{}")
    assert main(["train", "ppo", "toy/bandit", *SMALL, "--out", str(out)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert (out / "config.json").read_text() == "{}"
    assert main(["train", "ppo", "toy/bandit", *SMALL, "--out", str(out), "--replace"]) == 0
    assert json.loads((out / "status.json").read_text())["state"] == "finished"


def test_what_is_no_run_folder_is_never_deleted(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("precious")
    for name in ("", "config.json"):
        (tmp_path / name).write_text("{}") if name else None
        assert main(["train", "ppo", "toy/bandit", *SMALL, "--out", str(tmp_path), "--replace"]) == 2
        assert "is not a run folder (it holds thesis.txt)" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: (run / "config.json").unlink(), "has no config.json"),
        (lambda run: (run / "config.json").write_text("{"), "cannot be read"),
        (lambda run: (run / "agent").rename(run / "elsewhere"), "holds no agent"),
        (
            lambda run: (run / "config.json").write_text(
                (run / "config.json").read_text().replace('"hidden_sizes": [\n      8', '"hidden_sizes": [\n      16')
            ),
            "does not fit the configuration",
        ),
    ],
)
def test_damaged_folders_are_named(run, tmp_path, damage, words, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    damage(copy)
    assert main(["evaluate", str(copy)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_ctrl_c_saves_the_agent_and_says_how_far_it_came(tmp_path, monkeypatch):
    monkeypatch.setattr(_drive, "_SECONDS_BETWEEN_SIGNALS", 0.05)
    write = training_run.RunFolder.append_metrics

    def interrupt_after_first_row(folder, rows):
        write(folder, rows)
        os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    monkeypatch.setattr(training_run.RunFolder, "append_metrics", interrupt_after_first_row)
    out = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", "ppo", "toy/bandit", *SMALL, "--steps", "1000000", "--out", str(out)]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    status = json.loads((out / "status.json").read_text())
    assert status["state"] == "interrupted"
    assert 0 < status["steps"] < status["of"]
    assert load_agent(out).steps == status["steps"]
    assert not (out / "evaluation.json").exists()


@pytest.mark.slow
def test_seeds_that_never_began_are_not_evaluated(tmp_path, monkeypatch):
    write = training_run.RunFolder.append_metrics

    def interrupt_after_first_row(folder, rows):
        write(folder, rows)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training_run.RunFolder, "append_metrics", interrupt_after_first_row)
    out = tmp_path / "run"
    words = ["train", "ppo", "gymnasium/CartPole-v1", *FAST, "--seeds", "3", "--out", str(out)]
    assert main(words) == 130
    with pytest.warns(UserWarning, match="before all seeds began; 1 of 3"):
        agent = load_agent(out)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(eqx.filter(agent.state, eqx.is_array))} == {1}
    assert agent.steps > 0


@pytest.mark.slow
def test_run_that_fails_says_so_and_how_far_it_came(tmp_path, monkeypatch):
    def fail(folder, rows):
        raise OSError("no space left on device")

    monkeypatch.setattr(training_run.RunFolder, "append_metrics", fail)
    out = tmp_path / "run"
    with pytest.raises(OSError, match="no space left"):
        main(["train", "ppo", "toy/bandit", *SMALL, "--out", str(out)])
    status = json.loads((out / "status.json").read_text())
    assert (status["state"], status["steps"], status["of"]) == ("failed", 0, 2048)
    assert "no space left" in status["error"]


def test_command_is_installed_and_ends_with_its_exit_code(tmp_path):
    command = [
        sys.executable,
        "-c",
        "import sys; from bellmax.experiment import main; sys.exit(main())",
        "train",
        "pop",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["bellmax: no algorithm is named 'pop'; the nearest are ppo"]
