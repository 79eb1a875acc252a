"""The presets reach their returns: the whole training, five seeds. Slow."""

import json

import pytest

from bellmax.experiment import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("algorithm", "environment", "least", "steps"),
    [
        ("ppo", "CartPole-v1", 475, 500_000),
        ("dqn", "CartPole-v1", 475, 50_000),
        ("ppo", "Pendulum-v1", -250, 100_000),
    ],
)
def test_preset_reaches_its_return(algorithm, environment, least, steps, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", algorithm, environment, "--seeds", "5", "--out", str(out)]) == 0
    assert json.loads((out / "status.json").read_text())["steps"] <= steps
    capsys.readouterr()
    assert main(["evaluate", str(out), "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation["seeds"] == 5
    assert evaluation["unfinished"] == 0
    assert evaluation["mean"] >= least
