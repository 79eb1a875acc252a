"""Ends of episodes outside JAX: each way of restarting keeps the law, and a fault in it is found."""

import functools

import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import episode_ends
import faults
from bellmax import envs
from bellmax.experiment._host_loop import HostLoop
from envs.chains import GymnasiumChain

MAKE = functools.partial(GymnasiumChain, **episode_ends.CHAIN)
VECTOR = "envs._gymnasium_vector"
WAYS = ("own", "SAME_STEP", "NEXT_STEP", "DISABLED")

# Which way of restarting, the module, what stands there, and the fault.
FAULTS = {
    "the new start is written over the true successor": (
        "own",
        "envs._gymnasium",
        "start = self._border.copy(observation)",
        "start = observation",
    ),
    "the state at an end is acted on": (
        "own",
        "experiment._host_loop",
        "self._observation = outcome.start",
        "self._observation = outcome.observation",
    ),
    "the new start passes for the successor": (
        "SAME_STEP",
        VECTOR,
        "observation = self._final(seen, ended, info)",
        "pass",
    ),
    "a step that only resets is recorded": ("NEXT_STEP", VECTOR, "start, ~began)", "start, began | ~began)"),
    "a new start is not seen": (
        "DISABLED",
        VECTOR,
        "start = replace_lanes(seen, ended",
        "_ = replace_lanes(seen, ended",
    ),
}


def walk(way, module=None, old=None, new=None):
    there = {} if module is None else vars(faults.changed(f"bellmax.{module}", old, new))
    if way == "own":
        environment = there.get("GymnasiumEnvironment", envs.GymnasiumEnvironment).of(MAKE)
    else:
        vector = SyncVectorEnv([MAKE] * episode_ends.LANES, autoreset_mode=AutoresetMode[way])
        environment = there.get("GymnasiumVectorEnv", envs.GymnasiumVectorEnv)(vector)
    return episode_ends.walk_on_host("random", environment, there.get("HostLoop", HostLoop))


@pytest.mark.parametrize("way", WAYS)
def test_records_are_whole_episodes(way):
    episode_ends.check_walk(walk(way), "random")


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found(name):
    with pytest.raises(AssertionError):
        episode_ends.check_walk(walk(*FAULTS[name]), "random")
