"""`bellmax check-env`, on names and on a user's own."""

import json

import pytest

from bellmax.experiment import main

OWN = '''
import gymnasium
import numpy as np

from bellmax import envs

right = envs.Chain(length=3)


def factory():
    return envs.Chain(length=2)


class Counter(gymnasium.Env):
    """Ends after four steps."""

    observation_space = gymnasium.spaces.Box(0, 4, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = self.np_random.random()
        return np.array([self.time], np.float32), {}

    def step(self, action):
        self.time += 1
        return np.array([self.time], np.float32), 1.0, self.time > 3, False, {}


def nothing():
    return 3


def needs(more):
    return more
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_world.py").write_text(OWN)
    return tmp_path


def said(capsys, *words):
    capsys.readouterr()
    code = main(["check-env", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    "name",
    [
        "own_world.py:Counter",
        "own_world:Counter",
        pytest.param("own_world.py:factory", marks=pytest.mark.slow),
        pytest.param("own_world:right", marks=pytest.mark.slow),
        pytest.param("toy/chain", marks=pytest.mark.slow),
        pytest.param("gymnasium/CartPole-v1", marks=pytest.mark.slow),
    ],
)
def test_right_environments_pass_with_exit_code_0(name, here, capsys):
    code, out, err = said(capsys, name, "--steps", "40")
    assert (code, err) == (0, "")
    assert out.startswith(f"{name}: ")
    assert "failed" not in out


def test_json_is_one_object_and_a_failure_is_exit_code_1(here, capsys):
    (here / "wrong.py").write_text(OWN.replace("self.time += 1", "self.time += 2"))  # up to 5 in a box up to 4
    code, out, _ = said(capsys, "wrong.py:Counter", "--json", "--steps", "20", "--key", "3")
    report = json.loads(out)
    assert code == 1
    assert report["environment"] == "wrong.py:Counter"
    assert report["passed"] is False
    failed = [finding for finding in report["findings"] if finding["outcome"] == "failed"]
    assert [finding["check"] for finding in failed] == ["numbers"]
    assert "outside its space" in failed[0]["detail"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "check-env needs one environment, as a name or as module:Class; got 0"),
        (["toy/chain", "toy/bandit"], "got 2"),
        (["toy/chian"], "the nearest are toy/chain"),
        (["CartPol"], "an environment of your own is named module:Class or path.py:factory"),
        (["nowhere.py:Env"], "there is no file nowhere.py"),
        (["nowhere:Env"], "nowhere cannot be imported: ModuleNotFoundError"),
        (["own_world:Env"], "own_world has no 'Env'; it has "),
        (["own_world.py:nothing"], "own_world.py:nothing makes a int; expected a bellmax.envs.AbstractEnvironment"),
        (["own_world.py:needs"], "own_world.py:needs cannot be called without arguments: TypeError"),
        (["toy/chain", "--steps", "0"], "steps must be at least 1; got 0"),
        (["toy/chain", "--key", "-1"], "key must be in [0, 2^32); got -1"),
    ],
)
def test_wrong_commands_get_one_line_and_exit_code_2(words, expected, here, capsys):
    code, out, err = said(capsys, *words)
    assert (code, out) == (2, "")
    assert expected in err
    assert len(err.splitlines()) == 1


def test_help_says_what_is_checked(capsys):
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert all(word in out for word in ("--steps", "--json", "path.py:factory", "true observation"))
