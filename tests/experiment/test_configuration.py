"""Configurations, presets and schedules."""

import json

import jax.numpy as jnp
import pytest

from bellmax import algorithms
from bellmax.experiment import Configuration, UsageError
from bellmax.experiment._configuration import ALGORITHMS, choose, hyperparameters_of, preset_of
from bellmax.experiment._folder import RunFolder
from bellmax.experiment._presets import PRESETS
from bellmax.experiment._schedules import parse_schedule


def configuration(algorithm="ppo", environment="toy/bandit", **changes):
    preset = preset_of(algorithm, environment, None)
    hyperparameters = {name: preset[name] for name in hyperparameters_of(algorithm)}
    settings = {"steps": preset["steps"], "num_envs": preset["num_envs"], "seeds": 1, "key": 0}
    settings |= {name: changes.pop(name) for name in list(changes) if name in settings}
    return Configuration(algorithm, environment, **settings, hyperparameters=hyperparameters | changes)


@pytest.mark.parametrize(
    ("text", "step", "value"),
    [
        ("3e-4", 10, 3e-4),
        ("linear:1:0", 500, 0.5),
        ("linear:1:0", 2000, 0.0),
        ("linear:1:0.5:0.5", 250, 0.75),  # over the first half of 1,000 steps
        ("linear:1:0:200", 100, 0.5),  # over 200 steps
    ],
)
def test_schedules_read_as_documented(text, step, value):
    schedule = parse_schedule(text, 1000)
    assert float(schedule(jnp.array(float(step))) if callable(schedule) else schedule) == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "fast", "linear", "linear:1", "linear:a:b", "cosine:1:0", "linear:1:0:0", "1:2:3"]
)
def test_schedules_refuse_what_they_cannot_read(text):
    with pytest.raises(ValueError, match=r"got|longer"):
        parse_schedule(text, 1000)


def test_configuration_survives_json():
    before = configuration(learning_rate="linear:1e-3:0", seeds=3)
    written = json.loads(json.dumps(before.as_json()))
    after = Configuration.from_json(written | {"versions": {}})
    assert json.loads(json.dumps(after.as_json())) == written
    assert after.trainer().algorithm.hidden_sizes == before.trainer().algorithm.hidden_sizes


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_run_folder_gives_back_every_default(algorithm, tmp_path):
    before = configuration(algorithm, max_gradient_norm=float("inf"))
    folder = RunFolder(tmp_path)
    folder.write_json("config.json", before.as_json())
    written = before.hyperparameters.items()
    expected = {name: list(value) if isinstance(value, tuple) else value for name, value in written}
    assert folder.configuration().hyperparameters == expected


@pytest.mark.parametrize(
    ("algorithm", "environment"),
    [
        pytest.param(algorithm, name, marks=pytest.mark.slow if place or algorithm not in ("ppo", "dqn", "sac") else ())
        for algorithm in PRESETS
        for place, name in enumerate(PRESETS[algorithm])
    ],
)
def test_presets_make_trainers(algorithm, environment):
    trainer = configuration(algorithm, environment).trainer()
    assert isinstance(trainer.algorithm, ALGORITHMS[algorithm])
    assert trainer.steps_per_call <= PRESETS[algorithm][environment].get("steps", 500_000)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_hyperparameters_are_documented_and_complete(algorithm):
    known = hyperparameters_of(algorithm)
    assert all(each.help for each in known.values())
    assert {"discount", "hidden_sizes", "activation"} <= set(known)
    assert any(name.endswith("learning_rate") for name in known)
    assert "network" not in known


def test_values_reach_the_algorithm():
    trainer = configuration(learning_rate="linear:1:0", clip_epsilon=0.3, hidden_sizes=[8], steps=1000).trainer()
    assert isinstance(trainer.algorithm, algorithms.PPO)
    assert trainer.algorithm.clip_epsilon == 0.3
    assert trainer.algorithm.hidden_sizes == (8,)
    assert float(trainer.algorithm.learning_rate(jnp.array(250.0))) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"lerning_rate": 1.0}, "no hyperparameter is named 'lerning_rate'; the nearest are learning_rate"),
        ({"key": -1}, "key must be in"),
        ({"steps": 100}, "steps must cover one update, 512"),
        ({"num_envs": 0}, "num_envs must be at least 1"),
        ({"minibatches": 3}, "3 minibatches of a rollout of 128 steps"),
        ({"activation": "swish2"}, "activation must be one of"),
        ({"learning_rate": "fast"}, "expected a number"),
        ({"algorithm": "dqn", "num_envs": 7}, "num_envs must divide batch_size"),
        ({"algorithm": "dqn", "environment": "Pendulum-v1"}, "actions must be Discrete"),
    ],
)
def test_what_does_not_fit_is_refused_with_words(changes, words):
    with pytest.raises(UsageError, match=words):
        configuration(**changes).trainer()


def test_preset_of_another_environment_and_none():
    assert preset_of("ppo", "toy/chain", "Pendulum-v1")["discount"] == 0.9
    assert preset_of("ppo", "Pendulum-v1", "none")["discount"] == 0.99
    assert preset_of("ppo", "Pendulum-v1", None)["discount"] == 0.9


def test_choose_names_the_nearest_or_all():
    with pytest.raises(UsageError, match="the nearest are ppo"):
        choose("algorithm", "pppo", ["dqn", "ppo"])
    with pytest.raises(UsageError, match="there are dqn, ppo"):
        choose("algorithm", "zzzzzz", ["dqn", "ppo"])
