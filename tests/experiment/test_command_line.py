"""What the command line says."""

import jax
import pytest

from bellmax import __version__
from bellmax.experiment import main


def said(capsys, *words):
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "no command is named 'trian'; the nearest are train"),
        (["train"], "train needs an algorithm and an environment; the algorithms are a2c, c51, ddpg, "),
        (["train", "pop"], "no algorithm is named 'pop'; the nearest are ppo"),
        (["train", "ppo"], "train ppo needs an environment; `bellmax list` names them"),
        (["train", "ppo", "CartPole-v2"], "no environment is named 'CartPole-v2'; the nearest are CartPole-v1"),
        (["train", "ppo", "toy/bandit", "more"], "'more' is one word too many"),
        (["train", "ppo", "toy/bandit", "--lerning-rate", "1"], "the nearest are --learning-rate"),
        (["train", "ppo", "toy/bandit", "--preset", "cartpole"], "no preset is named 'cartpole'; "),
        (["train", "ppo", "toy/bandit", "--steps", "3"], "steps must cover one update, 512 environment steps; got 3"),
        (["train", "ppo", "toy/bandit", "--learning-rate", "fast"], "expected a number, or linear:FROM:TO[:UNTIL]"),
        (["train", "dqn", "Pendulum-v1"], "actions must be Discrete; got Box"),
        (["train", "ppo", "toy/bandit", "--seeds", "2", "more"], "'more' is one word too many"),
        (["train", "ppo", "toy/bandit", "--episodes", "0"], "episodes must be at least 1; got 0"),
        (["train", "ppo", "toy/bandit", "--clip-epsilon", "-1"], "epsilon must be positive; got -1"),
        (["train", "ppo", "toy/bandit", "--hidden-sizes", "0"], "every layer needs at least one unit"),
        (["train", "ppo", "toy/bandit", "--learning-rate", "nan"], "expected a number"),
        (["train", "ppo", "toy/bandit", "--discount", "7"], "discount must be in [0, 1]; got 7"),
        (["train", "ppo", "toy/bandit", "--key", "-1"], "key must be in [0, 2^32); got -1"),
        (["evaluate", "/nowhere", "--key", "-1"], "key must be in [0, 2^32); got -1"),
        (["evaluate"], "evaluate needs one run folder; got 0"),
        (["evaluate", "/nowhere"], "/nowhere is not a run folder: it has no config.json"),
        (["evaluate", "/nowhere", "--episodes", "0"], "episodes must be at least 1; got 0"),
        (["list", "everything"], "list takes nothing or --packages; got everything"),
    ],
)  # fmt: skip
def test_wrong_commands_get_one_line_and_exit_code_2(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, *words)
    assert code == 2
    assert out == ""
    assert err.startswith("bellmax: ")
    assert expected in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_wrong_value_names_the_flag(capsys):
    code, out, err = said(capsys, "train", "ppo", "toy/bandit", "--steps", "many")
    assert code == 2
    assert "--steps" in out + err
    assert "many" in out + err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_the_commands(words, capsys):
    code, out, _ = said(capsys, *words)
    assert code == 0
    assert all(command in out for command in ("train", "evaluate", "list", "exit codes"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--help"], ["usage: bellmax train ALGORITHM ENVIRONMENT", "Proximal policy optimisation", "dqn"]),
        (["train", "ppo", "--help"], ["--learning-rate", "Step size of the optimiser", "2.5e-4", "--seeds"]),
        (["train", "ppo", "CartPole-v1", "--help"], ["linear:2.5e-4:0", "500000"]),
        (["train", "ppo", "Pendulum-v1", "--help"], ["linear:1e-3:0", "100000", "0.9"]),
        (["train", "dqn", "toy/chain", "--preset", "CartPole-v1", "--help"], ["128 128"]),
        (["train", "rainbow", "--help"], ["--n-step", "before the bootstrap", "--atoms", "--no-noisy"]),
        (["evaluate", "--help"], ["--sampled", "--json", "bootstrap"]),
        (["list", "--help"], ["usage: bellmax list"]),
    ],
)
def test_help_of_each_command_shows_what_matters(words, expected, capsys):
    code, out, _ = said(capsys, *words)
    assert code == 0
    text = out.replace("2.5e-04", "2.5e-4").replace("0.00025", "2.5e-4")
    assert all(each in text for each in expected)


def test_list_names_algorithms_presets_and_environments(capsys):
    code, out, _ = said(capsys, "list")
    assert code == 0
    assert all(
        name in out for name in ("ppo", "dqn", "presets: CartPole-v1, Acrobot-v1", "Breakout-MinAtar", "toy/recall")
    )


def test_version(capsys):
    assert said(capsys, "--version") == (0, f"{__version__}\n", "")
    assert jax.config.values["jax_cpu_enable_async_dispatch"] is False  # small programs run where they are called
