"""The table of environment packages tells the truth about each cell."""

import dataclasses
import sys

import gymnasium
import numpy as np
import pytest

from bellmax import envs
from bellmax.experiment import _packages


class HostClock(gymnasium.Env):
    """Ends by its clock alone; `kind` says which end it claims."""

    def __init__(self, limit, kind="truncated", high=100.0):
        self.limit, self.kind, self.time = limit, kind, 0
        self.observation_space = gymnasium.spaces.Box(0.0, high, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        ended = self.time >= self.limit
        observation = np.full(1, self.time, np.float32)
        return observation, 0.0, ended and self.kind == "terminated", ended and self.kind == "truncated", {}


def clock(limit, kind="truncated", **settings):
    return envs.GymnasiumEnvironment.of(lambda: HostClock(limit, kind, **settings))


@pytest.mark.parametrize("make", [lambda limit: envs.Chain(time_limit=limit), clock])
def test_limit_must_be_on_its_very_step(make):
    _packages._check_limit(make(5), 5)
    with pytest.raises(RuntimeError, match="not truncated at step 5"):
        _packages._check_limit(make(6), 5)
    with pytest.raises(RuntimeError, match="truncated before step 5"):
        _packages._check_limit(make(4), 5)


def test_limit_that_terminates_is_no_truncation():
    with pytest.raises(RuntimeError, match="terminated before step 5"):
        _packages._check_limit(clock(5, "terminated"), 5)


def test_clock_that_is_shown_must_fit_its_space():
    with pytest.raises(RuntimeError, match="the observation at step 5 lies outside its space"):
        _packages._check_limit(clock(5, high=4.0), 5)


def test_cells_that_are_cheap():
    assert _packages.measure("truncation right", "toy/chain", "") == "yes"


def test_nothing_is_drawn_without_an_agent(tmp_path):
    with pytest.raises(RuntimeError, match="nothing was trained"):
        _packages.measure("renders", "toy/chain", str(tmp_path))


def test_missing_package_says_how_to_install_it():
    absent = dataclasses.replace(_packages.EXAMPLES[0], distribution="no-such-distribution", install="bellmax[x]")
    *_, line = _packages.table([absent])
    assert line.count('not installed: `pip install "bellmax[x]"`') == len(_packages.CELLS)


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("print('yes')", "yes"),
        ("raise RuntimeError('a | b')", "no: a / b"),
        ("raise SystemExit(3)", "no: exit code 3"),
        ("import time; time.sleep(60)", "no: it took more than 2 s"),
    ],
)
def test_process_of_a_cell(monkeypatch, program, wanted):
    real = _packages.subprocess.run
    monkeypatch.setattr(
        _packages.subprocess, "run", lambda words, **settings: real([sys.executable, "-c", program], **settings)
    )
    assert _packages._in_process("trains", _packages.EXAMPLES[0], "", 2.0) == wanted


@pytest.mark.slow
def test_row_of_the_toys():
    toys = [each for each in _packages.EXAMPLES if each.name == "toy/chain"]
    *_, line = _packages.table(toys)
    assert line.endswith("| yes | yes | yes | no: toy/chain was not drawn: Chain cannot be drawn as pictures |")
