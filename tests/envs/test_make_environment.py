"""Environments by name, and what is said where a name leads nowhere."""

import urllib.error
import urllib.request

import gymnax
import pytest

from bellmax import envs


def test_names_are_gymnax_and_the_toys():
    assert envs.names() == [*gymnax.registered_envs, "toy/bandit", "toy/chain", "toy/recall"]


@pytest.mark.parametrize(("name", "kind"), [("bandit", envs.Bandit), ("chain", envs.Chain), ("recall", envs.Recall)])
def test_make_gives_toys(name, kind):
    assert isinstance(envs.make(f"toy/{name}"), kind)


def test_settings_reach_a_toy():
    assert envs.make("toy/chain", length=7).length == 7


@pytest.mark.parametrize(("wrong", "nearest"), [("CartPole-v2", "CartPole-v1"), ("chain", "toy/chain")])
def test_unknown_name_is_answered_with_the_nearest(wrong, nearest):
    with pytest.raises(ValueError, match=nearest) as caught:
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
    with pytest.raises(RuntimeError, match=r"MNISTBandit-bsuite.*download.*no network here"):
        envs.make("MNISTBandit-bsuite")


def test_without_gymnax_the_toys_remain_and_the_hint_names_the_extra(monkeypatch):
    monkeypatch.setattr(envs._make, "_gymnax_names", lambda: [])
    assert envs.names() == ["toy/bandit", "toy/chain", "toy/recall"]
    with pytest.raises(ValueError, match=r"pip install \"bellmax\[envs\]\""):
        envs.make("CartPole-v1")
