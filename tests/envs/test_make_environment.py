"""Environments by name, and what is said where a name leads nowhere."""

import dataclasses
import subprocess
import sys
import urllib.error
import urllib.request

import gymnax
import pytest

from bellmax import envs
from bellmax.envs import _make


def without(monkeypatch, *prefixes):
    """Lets packages look as if they were not installed."""
    absent = {
        prefix: dataclasses.replace(_make.PACKAGES[prefix], module="no_such_package_anywhere") for prefix in prefixes
    }
    monkeypatch.setattr(_make, "PACKAGES", _make.PACKAGES | absent)


def test_names_are_those_of_every_installed_package():
    names = envs.names()
    assert names[: len(gymnax.registered_envs)] == gymnax.registered_envs
    assert {"toy/bandit", "toy/chain", "toy/recall", "gymnasium/CartPole-v1"} <= set(names)
    assert len(names) == len(set(names))
    for name in names:
        envs.check_name(name)


@pytest.mark.parametrize("prefix", [prefix for prefix in _make.PACKAGES if prefix])
def test_names_follow_what_is_installed(monkeypatch, prefix):
    without(monkeypatch, prefix)
    assert not any(name.startswith(prefix) for name in envs.names())


@pytest.mark.parametrize(("name", "kind"), [("bandit", envs.Bandit), ("chain", envs.Chain), ("recall", envs.Recall)])
def test_make_gives_toys(name, kind):
    assert isinstance(envs.make(f"toy/{name}"), kind)


def test_make_gives_host_environments():
    environment = envs.make("gymnasium/CartPole-v1")
    assert isinstance(environment, envs.AbstractHostEnvironment)
    assert environment.spaces.observation.shape == (4,)


def test_settings_reach_a_toy():
    assert envs.make("toy/chain", length=7).length == 7


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("CartPole-v2", "CartPole-v1"),
        ("chain", "toy/chain"),
        ("toy/chian", "toy/chain"),
        ("gymnasium/CartPole-v9", "gymnasium/CartPole-v1"),
        ("gymnasum/CartPole-v1", "gymnasium/CartPole-v1"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(wrong, nearest):
    with pytest.raises(ValueError, match=f"(are|,) {nearest}") as caught:
        envs.make(wrong)
    assert repr(wrong) in str(caught.value)


def test_name_far_from_all_is_answered_with_the_list():
    with pytest.raises(ValueError, match="Pendulum-v1") as caught:
        envs.make("0")
    assert "toy/recall" in str(caught.value)


def test_data_that_cannot_be_loaded_is_said_so(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(urllib.request, "urlretrieve", refuse)
    with pytest.raises(RuntimeError, match=r"MNISTBandit-bsuite could not be made; if it downloads.*no network here"):
        envs.make("MNISTBandit-bsuite")


def test_without_gymnax_the_others_remain_and_the_hint_names_the_extra(monkeypatch):
    without(monkeypatch, "")
    assert "toy/bandit" in envs.names()
    assert "CartPole-v1" not in envs.names()
    with pytest.raises(ValueError, match=r"pip install \"bellmax\[envs\]\""):
        envs.make("CartPole-v1")


@pytest.mark.parametrize("prefix", ["brax", "playground", "jumanji", "xminigrid"])
def test_missing_package_names_its_extra(monkeypatch, prefix):
    without(monkeypatch, f"{prefix}/")
    for call in (envs.make, envs.check_name):
        with pytest.raises(RuntimeError, match=rf"{prefix}/x needs .* pip install \"bellmax\[{prefix}\]\""):
            call(f"{prefix}/x")


@pytest.mark.slow
def test_making_one_environment_imports_no_other_package():
    code = (
        "import sys; from bellmax import envs; envs.make('toy/chain'); envs.make('gymnasium/CartPole-v1');"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"gymnax", "brax", "mujoco_playground", "jumanji", "xminigrid"} & set(loaded)


@pytest.mark.parametrize(
    ("prefix", "package", "registered"),
    [
        ("brax/", "brax", "__import__('brax.envs').envs._envs"),
        ("playground/", "mujoco_playground", "__import__('mujoco_playground').dm_control_suite.ALL_ENVS"),
        ("jumanji/", "jumanji", "__import__('jumanji').registered_environments()"),
        ("xminigrid/", "xminigrid", "__import__('xminigrid').registered_environments()"),
    ],
)
def test_listed_names_are_the_registered_ones(prefix, package, registered):
    pytest.importorskip(package)
    assert sorted(_make.PACKAGES[prefix].names()) == sorted(eval(registered))


@pytest.mark.parametrize(("prefix", "package"), [("brax", "brax"), ("jumanji", "jumanji"), ("xminigrid", "xminigrid")])
def test_unknown_name_of_a_package_touches_only_that(prefix, package):
    pytest.importorskip(package)
    with pytest.raises(ValueError, match=rf"no environment is named '{prefix}/a'.*{prefix}/\w+"):
        envs.make(f"{prefix}/a")
