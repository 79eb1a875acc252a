"""gymnasium behind the library's protocol: ends, starts, types, spaces, and what must not pass."""

import functools
import pickle

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from bellmax import envs
from bellmax._core import example
from bellmax.envs import GymnasiumEnvironment, GymnasiumVectorEnv, HostEnvironmentError, lane_seeds
from envs.chains import GymnasiumChain

CHAIN = functools.partial(GymnasiumChain, length=3, time_limit=4, stay_reward=0.5)
LANES, STEPS = 3, 40
ACTIONS = np.random.default_rng(0).integers(0, 2, (LANES, STEPS))


def by_hand(lane, count):
    """Steps one chain with plain gymnasium; returns (observation, action, reward, successor, terminated, truncated)."""
    env = CHAIN()
    observation, _ = env.reset(seed=lane_seeds(7, LANES)[lane])
    found = []
    for action in ACTIONS[lane, :count]:
        successor, reward, terminated, truncated, _ = env.step(action)
        found.append((observation, action, reward, successor, terminated, truncated))
        observation = env.reset()[0] if terminated or truncated else successor
    return found


def transitions_of(lanes, count):
    """Plays until every lane has its transitions: lane `i` takes its actions in order, whatever steps are not valid."""
    observation = lanes.reset(seed=lane_seeds(7, LANES))
    found = [[] for _ in range(LANES)]
    while min(map(len, found)) < count:
        action = np.array([ACTIONS[lane, min(len(found[lane]), STEPS - 1)] for lane in range(LANES)], np.int32)
        step = lanes.step(action)
        for lane in range(LANES):
            if step.valid[lane]:
                ends = step.terminated[lane], step.truncated[lane]
                found[lane].append((observation[lane], action[lane], step.reward[lane], step.observation[lane], *ends))
        observation = step.start
    return [each[:count] for each in found]


def vector(mode):
    return GymnasiumVectorEnv(SyncVectorEnv([CHAIN] * LANES, autoreset_mode=mode))


MAKERS = {
    "own": lambda: GymnasiumEnvironment.of(CHAIN).start(LANES),
    "same step": lambda: vector(AutoresetMode.SAME_STEP),
    "next step": lambda: vector(AutoresetMode.NEXT_STEP),
    "disabled": lambda: vector(AutoresetMode.DISABLED),
}


@pytest.mark.parametrize("name", MAKERS)
def test_transitions_are_those_of_stepping_by_hand(name):
    found = transitions_of(MAKERS[name](), 30)
    for lane in range(LANES):
        expected = by_hand(lane, 30)
        # All four kinds of step, so that the comparison says something.
        assert {each[4:] for each in expected} >= {(False, False), (True, False), (False, True)}
        for one, other in zip(found[lane], expected, strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)


def test_next_step_mode_marks_the_step_that_only_resets():
    lanes = vector(AutoresetMode.NEXT_STEP)
    lanes.reset(seed=0)
    last = None
    for _ in range(20):
        step = lanes.step(np.ones(LANES, np.int32))
        if last is not None:
            ended = last.terminated | last.truncated
            np.testing.assert_array_equal(step.valid, ~ended)
            np.testing.assert_array_equal(step.observation[ended], last.observation[ended])
            assert not (step.terminated | step.truncated)[ended].any()
            assert not step.reward[ended].any()
        last = step


def test_seed_of_a_lane_does_not_depend_on_how_many_there_are():
    assert lane_seeds(3, 4)[:2] == lane_seeds(3, 2)
    assert len(set(lane_seeds(3, 100))) == 100
    lanes = GymnasiumEnvironment("CartPole-v1")
    few, many = lanes.start(2).reset(seed=1), lanes.start(4).reset(seed=1)
    np.testing.assert_array_equal(few, many[:2])
    assert len(np.unique(many[:, 0])) == 4


class Everything(gymnasium.Env):
    """Every space that has a fixed shape, none as the policy has it; an episode has one buffer for observations."""

    observation_space = gymnasium.spaces.Dict(
        place=gymnasium.spaces.Box(-1, 1, (2,), np.float64),
        rest=gymnasium.spaces.Tuple(
            [gymnasium.spaces.Discrete(3, start=5), gymnasium.spaces.MultiDiscrete([2, 3], start=[1, 2])]
        ),
    )
    action_space = gymnasium.spaces.Dict(
        push=gymnasium.spaces.Box(-2, 2, (1,), np.float64),
        press=gymnasium.spaces.Discrete(2, start=-1),
        turn=gymnasium.spaces.MultiBinary(2),
    )

    def __init__(self):
        self.took = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.buffer = {"place": np.zeros(2), "rest": (5, np.array([1, 2]))}
        return self.buffer, {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.took.append(action)
        self.buffer["place"][:] += 0.25
        self.buffer["rest"] = (7, np.array([2, 4]))
        return self.buffer, 1, False, len(self.took) % 3 == 0, {}


def everything(kind):
    made = []

    def make():
        made.append(Everything())
        return made[-1]

    if kind == "own":
        lanes = GymnasiumEnvironment.of(make).start(2)
    else:
        lanes = GymnasiumVectorEnv(SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode(kind)))
    return lanes, lambda: made[-2:]


@pytest.mark.parametrize("kind", ["own", "SameStep", "NextStep", "Disabled"])
def test_every_space_crosses_the_border(kind):
    lanes, made = everything(kind)
    like = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (2, *leaf.shape)), example(lanes.spaces.observation))
    assert lanes.spaces.action["press"].start == 0
    first = lanes.reset(seed=0)
    action = {
        "push": np.array([[0.5], [1.5]], np.float32),
        "press": np.array([0, 1], np.int32),
        "turn": np.array([[0, 1], [1, 1]], np.int8),
    }
    steps = [lanes.step(action) for _ in range(4)]
    for seen in (first, *(step.observation for step in steps), *(step.start for step in steps)):
        assert jax.tree.structure(seen) == jax.tree.structure(like)
        assert all(
            (one.shape, one.dtype) == (two.shape, two.dtype)
            for one, two in zip(jax.tree.leaves(seen), jax.tree.leaves(like), strict=True)
        )
    # What was returned earlier is not written into later; Discrete and MultiDiscrete begin at zero.
    np.testing.assert_array_equal(first["place"], np.zeros((2, 2)))
    np.testing.assert_array_equal(steps[0].observation["place"], np.full((2, 2), 0.25))
    np.testing.assert_array_equal(steps[2].observation["place"], np.full((2, 2), 0.75))
    np.testing.assert_array_equal(steps[0].observation["rest"][0], [2, 2])
    np.testing.assert_array_equal(steps[0].observation["rest"][1], [[1, 2], [1, 2]])
    assert [env.took[0]["press"] for env in made()] == [-1, 0]
    assert [env.took[0]["push"].tolist() for env in made()] == [[0.5], [1.5]]


class Narrow(gymnasium.Env):
    """Refuses an action outside bounds that float32 cannot hold."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-0.1, 0.1, (1,), np.float64)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_action_at_a_bound_of_float64_stays_inside():
    lanes = GymnasiumEnvironment.of(Narrow).start(2)
    lanes.reset(seed=0)
    assert float(np.float32(0.1)) > 0.1
    lanes.step(np.array([[0.1], [-0.1]], np.float32))


class Faulty(gymnasium.Env):
    """Does one wrong thing once the action asks for it."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fault):
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        good = np.zeros(2, np.float32), 0.0, False, False, {}
        return self.fault(*good) if action else good


def boil(*_):
    raise OSError("the kettle boiled over")


FAULTS = {
    "nan": (lambda o, r, *rest: (o, np.nan, *rest), "nan"),
    "infinite": (lambda o, r, *rest: (o, np.inf, *rest), "inf"),
    "none": (lambda o, r, *rest: (o, None, *rest), "NoneType"),
    "shape": (lambda o, *rest: (np.zeros(1, np.float32), *rest), r"shape \(1,\).*has \(2,\)"),
    "old step": (lambda o, r, end, cut, info: (o, r, end, info), "not enough values"),
    "raises": (boil, "kettle"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_lane(name):
    fault, words = FAULTS[name]
    lanes = GymnasiumEnvironment.of(lambda: Faulty(fault)).start(3)
    lanes.reset(seed=0)
    with pytest.raises(HostEnvironmentError, match=f"lane 2.*{words}"):
        lanes.step(np.array([0, 0, 1]))


def test_vector_environment_with_a_nan_reward_names_the_lane():
    lanes = GymnasiumVectorEnv(SyncVectorEnv([lambda: Faulty(FAULTS["nan"][0])] * 3))
    lanes.reset(seed=0)
    with pytest.raises(HostEnvironmentError, match="lane 1: the reward is nan"):
        lanes.step(np.array([0, 1, 0]))


def test_vector_environment_must_say_its_mode():
    vector_env = SyncVectorEnv([CHAIN] * 2)
    vector_env.metadata = {}
    with pytest.raises(ValueError, match="must be one of NextStep, SameStep, Disabled; got None"):
        GymnasiumVectorEnv(vector_env)
    assert GymnasiumVectorEnv(vector_env, mode="NextStep").num_envs == 2


def test_names_and_what_is_no_name():
    assert "CartPole-v1" in envs.gymnasium_names()
    with pytest.raises(ValueError, match="CartPool"):
        GymnasiumEnvironment("CartPool-v1")
    assert isinstance(envs.make("gymnasium/CartPole-v1"), GymnasiumEnvironment)


def test_environment_travels_to_another_process():
    for environment in (GymnasiumEnvironment("Pendulum-v1", g=9.0), GymnasiumEnvironment.of(CHAIN)):
        again = pickle.loads(pickle.dumps(environment))
        assert again.spaces == environment.spaces
        assert again.start(1).reset(seed=0).shape[0] == 1


def test_space_without_a_shape_is_refused():
    class Talking(Faulty):
        observation_space = gymnasium.spaces.Text(5)

    with pytest.raises(TypeError, match="no fixed shape"):
        GymnasiumEnvironment.of(lambda: Talking(None))


def test_close_may_be_called_twice():
    for make in MAKERS.values():
        lanes = make()
        lanes.close()
        lanes.close()
