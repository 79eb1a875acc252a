"""Configuration files, and flags that go before them."""

import dataclasses
import json
from pathlib import Path

import pytest

from bellmax.experiment import UsageError, main
from bellmax.experiment._command_train import train_options
from bellmax.experiment._config_file import ConfigFile, as_toml
from bellmax.experiment._configuration import preset_of
from bellmax.experiment._flags import parse

TOML = """
algorithm = "ppo"
environment = "toy/bandit"
seeds = 2
[hyperparameters]
learning-rate = "linear:1e-3:0"
hidden_sizes = [8, 4]
normalise-observations = true
max_gradient_norm = inf
"""
YAML = """
algorithm: ppo
environment: toy/bandit
seeds: 2
learning_rate: linear:1e-3:0
hyperparameters: {hidden-sizes: [8, 4], normalise_observations: true, max-gradient-norm: inf}
"""
JSON = json.dumps(
    {
        "algorithm": "ppo",
        "environment": "toy/bandit",
        "seeds": 2,
        "hyperparameters": {
            "learning_rate": "linear:1e-3:0",
            "hidden_sizes": [8, 4],
            "normalise_observations": True,
            "max_gradient_norm": "inf",
        },
        "settings": {"devices": None},
        "versions": {"jax": "0"},
        "device": "cpu",
    }
)


def resolved(capsys, *words):
    """What `--dry-run` says, as values."""
    code = main(["train", *words, "--dry-run"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


@pytest.fixture
def read(tmp_path):
    """Writes a file and returns its path."""

    def write(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML), ("a.json", JSON)])
def test_every_kind_of_file_says_the_same(name, text, read, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = read(name, text)
    before = sorted(tmp_path.iterdir())
    said = resolved(capsys, "--config", path)
    for line in (
        'algorithm = "ppo"',
        'environment = "toy/bandit"',
        "seeds = 2",
        'learning-rate = "linear:1e-3:0"',
        "hidden-sizes = [8, 4]",
        "normalise-observations = true",
        'max-gradient-norm = "inf"',
    ):
        assert f"{line}\n" in said
    assert sorted(tmp_path.iterdir()) == before  # a dry run leaves nothing


def test_flags_and_words_go_before_the_file(read, capsys):
    path = read("a.toml", TOML)
    flags = ["--seeds", "3", "--hidden-sizes", "5", "--no-normalise-observations"]
    said = resolved(capsys, "ppo", "toy/chain", f"--config={path}", *flags)
    for line in ('environment = "toy/chain"', "seeds = 3", "hidden-sizes = [5]", "normalise-observations = false"):
        assert f"{line}\n" in said
    assert 'learning-rate = "linear:1e-3:0"\n' in said  # what no flag names is the file's


def test_what_a_dry_run_says_is_a_file_that_says_it_again(read, capsys):
    said = resolved(capsys, "td", "toy/chain", "--seeds", "3", "--rule", "sarsa")
    assert resolved(capsys, "--config", read("again.toml", said)) == said


def test_the_configuration_of_a_run_is_a_file(read, capsys):
    said = resolved(capsys, "--config", read("config.json", JSON), "--out", "x")
    assert "devices" not in said
    assert 'out = "x"' in said


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.toml", "lerning-rate = 1", "a.toml: no flag is named 'lerning_rate'; the nearest are learning_rate"),
        ("a.toml", "seeds = ", "a.toml cannot be read: "),
        ("a.toml", "seeds = 1\n[settings]\nseeds = 2", "a.toml names seeds twice"),
        ("a.json", "[1]", "must hold names and values; got list"),
        ("a.json", "{", "a.json cannot be read: "),
        ("a.yaml", "a: [1", "a.yaml cannot be read: "),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "a.yaml cannot be read: "),
        ("a.ini", "seeds = 1", "ends in .toml, .yaml, .yml or .json; got "),
        ("a.toml", "value-clip = 1", "a.toml: value_clip is true or false; got 1"),
        ("a.toml", "keep = true", "a.toml: keep is not true or false; got True"),
        ("a.toml", "settings = 3", "a.toml: hyperparameters and settings are tables of names and values; got 3"),
        ("a.toml", 'config = "b.toml"', "a.toml names another file, b.toml"),
        ("a.toml", "process-id = 1", "process"),
        ("a.toml", "steps = 3", "steps must cover one update"),
        ("a.toml", 'learning-rate = "fast"', "expected a number"),
    ],
)
def test_a_wrong_file_is_named(name, text, expected, read, capsys):
    assert main(["train", "ppo", "toy/bandit", "--dry-run", "--config", read(name, text)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err
    assert len(captured.err.splitlines()) == 1


def test_the_environment_stands_anywhere(capsys):
    """The same word may be the preset's name."""
    assert main(["train", "ppo", "--preset", "CartPole-v1", "--dry-run", "--seeds", "2", "CartPole-v1"]) == 0
    assert 'environment = "CartPole-v1"' in capsys.readouterr().out
    assert main(["train", "ppo", "--dry-run", "CartPole-v1", "--no-value-clip"]) == 0


def test_a_file_without_algorithm_asks_for_one(read, capsys):
    assert main(["train", "--config", read("a.toml", 'environment = "CartPole-v1"')]) == 2
    assert "train needs an algorithm" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(capsys):
    assert main(["train", "--config", "/nowhere.toml"]) == 2
    assert "/nowhere.toml cannot be read: " in capsys.readouterr().err


def test_a_sweep_takes_lists_from_a_file(read, capsys, tmp_path):
    text = (
        'algorithm = "td"\nenvironment = "toy/chain"\nsteps = 64\nlearning-rate = [0.1, 0.2]\ndiscount = [0.9, 0.99]\n'
    )
    path, out = read("a.toml", text), str(tmp_path / "sweep")
    assert main(["sweep", "--config", path, "--dry-run", "--out", out]) == 0
    assert "4 configurations x 1 seed" in capsys.readouterr().err
    assert main(["sweep", "--config", path, "--dry-run", "--out", out, "--learning-rate", "0.1"]) == 0
    assert "2 configurations x 1 seed" in capsys.readouterr().err  # the flag goes before the list


def test_a_sweep_takes_the_file_of_a_run(read, capsys, tmp_path):
    """What only a run does is left alone, its folder too; a switch of the command goes before a list of the file."""
    assert main(["train", "ppo", "toy/bandit", "--dry-run", "--out", str(tmp_path / "run")]) == 0
    path = read("run.toml", capsys.readouterr().out.replace("value-clip = true", "value-clip = [true, false]"))
    words = ["sweep", "--config", path, "--dry-run", "--learning-rate", "1e-3,1e-4"]
    assert main(words) == 0
    assert "4 configurations x 1 seed" in capsys.readouterr().err
    assert main([*words, "--no-value-clip"]) == 0
    assert "2 configurations x 1 seed" in capsys.readouterr().err
    assert main([*words, "--value-clip-epsilon", "0.1 0.2,0.3"]) == 2
    assert "--value-clip-epsilon takes one word a value; '0.2' is one too many" in capsys.readouterr().err


def test_sizes_and_lists_of_sizes(read):
    options = train_options("ppo", preset_of("ppo", "toy/bandit", None), Path("x"))
    words = ConfigFile(read("a.toml", "hidden-sizes = [[64, 64], [256]]\nseeds=1")).words(options)
    assert words == ["--hidden-sizes", "64", "64,256", "--seeds=1"]
    words = ConfigFile(read("a.toml", "hidden-sizes = [64, 32]\nnormalise-observations=[true, false]")).words(options)
    assert words == ["--hidden-sizes", "64", "32", "--normalise-observations", "true,false"]


def test_toml_comes_back(read):
    options = train_options("ppo", preset_of("ppo", "CartPole-v1", None), Path("x"))
    values = dataclasses.asdict(parse(options, ["--max-gradient-norm", "inf"], "train")[0])
    values = {name: value for name, value in values.items() if name not in ("config", "out")}
    again = ConfigFile(read("a.toml", as_toml(values))).words(options)
    assert dataclasses.asdict(parse(options, again, "train")[0]) == values | {"config": None, "out": Path("x")}


def test_nothing_is_a_file_that_holds_nothing():
    assert ConfigFile(None).values == {}
    with pytest.raises(UsageError, match="cannot be read"):
        ConfigFile("/nowhere.toml")
