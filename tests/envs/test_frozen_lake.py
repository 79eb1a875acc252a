"""The frozen lake's answers: by hand, by its own table of chances, and by value iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import envs
from bellmax.envs import FrozenLake
from training.laws import avals, fast_jit

LEFT, DOWN, RIGHT, UP = range(4)


def walk(lake, actions, seed=0):
    """Returns the steps of one walk from the start, stacked."""

    def run(key):
        state, _ = lake.reset(key=key)
        keys = jax.random.split(key, len(actions))
        each = (jnp.asarray(actions), keys)
        return jax.lax.scan(lambda state, now: lake.step(state, now[0], key=now[1]), state, each)

    return fast_jit(run)(jax.random.key(seed))[1]


def test_way_over_the_ice_pays_once_at_the_goal():
    steps = walk(FrozenLake(), [DOWN, DOWN, RIGHT, RIGHT, DOWN, RIGHT])
    np.testing.assert_array_equal(steps.observation, [4, 8, 9, 10, 14, 15])
    np.testing.assert_array_equal(steps.reward, [0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(steps.terminated, [False] * 5 + [True])
    assert not steps.truncated.any()


def test_hole_ends_and_walls_hold():
    steps = walk(FrozenLake(), [LEFT, UP, RIGHT, DOWN])
    np.testing.assert_array_equal(steps.observation, [0, 0, 1, 5])
    np.testing.assert_array_equal(steps.terminated, [False, False, False, True])
    assert steps.reward.sum() == 0


def test_time_is_up_without_a_termination():
    steps = walk(FrozenLake(time_limit=3), [LEFT, LEFT, LEFT])
    np.testing.assert_array_equal(steps.truncated, [False, False, True])
    assert not steps.terminated.any()


def test_types_and_spaces_are_kept():
    lake = FrozenLake()
    state, observation = lake.reset(key=jax.random.key(0))
    after, step = lake.step(state, jnp.array(DOWN), key=jax.random.key(0))
    assert avals(after) == avals(state)
    assert avals(step.observation) == avals(observation)
    assert lake.spaces.observation.contains(np.asarray(step.observation))
    assert lake.spaces.action.n == 4


def chances(is_slippery):
    """Returns Gymnasium's table of chances as arrays: P(s' | s, a), and the reward and the end of arriving."""
    import gymnasium

    table = gymnasium.make("FrozenLake-v1", is_slippery=is_slippery).unwrapped.P
    arrive, reward, ends = np.zeros((16, 4, 16)), np.zeros(16), np.zeros(16, bool)
    for state, actions in table.items():
        for action, outcomes in actions.items():
            for chance, following, paid, ended in outcomes:
                arrive[state, action, following] += chance
                if state not in (5, 7, 11, 12, 15):  # nothing is paid for staying at an end
                    reward[following], ends[following] = max(reward[following], paid), ended
    return arrive, reward, ends


def optimum(is_slippery, time_limit):
    """Returns the best mean return from the start within a time limit, by dynamic programming over the time left."""
    arrive, reward, ends = chances(is_slippery)
    value = np.zeros(16)
    for _ in range(time_limit):
        value = (arrive @ (reward + np.where(ends, 0, value))).max(axis=1)
    return value[0]


def test_optimum_is_known():
    assert optimum(False, 100) == 1
    assert optimum(False, 5) == 0  # six steps lead to the goal
    assert 0.73 < optimum(True, 100) < 0.75


@pytest.mark.parametrize("slippery", [False, True])
def test_steps_have_the_chances_of_gymnasium(slippery):
    lake, draws = FrozenLake(slippery=slippery), 3000
    arrive, reward, ends = chances(slippery)

    @fast_jit
    def arrivals(key):
        def one(place, action, key):
            state = lake.reset(key=key)[0]._replace(place=place)
            step = lake.step(state, action, key=key)[1]
            return step.observation, step.reward, step.terminated

        over_keys = jax.vmap(one, (None, None, 0))
        over_actions = jax.vmap(over_keys, (None, 0, None))
        return jax.vmap(over_actions, (0, None, None))(jnp.arange(16), jnp.arange(4), jax.random.split(key, draws))

    place, paid, ended = (np.asarray(leaf) for leaf in arrivals(jax.random.key(0)))
    on_ice = ~ends
    share = (place[..., None] == np.arange(16)).mean(axis=2)
    # Five standard deviations of a share of 3000 draws, at most; exact where it is 0 or 1.
    np.testing.assert_allclose(share[on_ice], arrive[on_ice], atol=5 * np.sqrt(0.25 / draws) if slippery else 0)
    assert ((share == 0) == (arrive == 0))[on_ice].all()
    np.testing.assert_array_equal(paid[on_ice], reward[place[on_ice]])
    np.testing.assert_array_equal(ended[on_ice], ends[place[on_ice]])


def test_name_makes_it():
    assert envs.make("toy/frozen-lake", slippery=True) == FrozenLake(slippery=True)
    assert envs.make("toy/frozen-lake").slippery is False
