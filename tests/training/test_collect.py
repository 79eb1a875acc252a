"""What acting writes down: keys, successors, memory, counts, returns. One recorded run serves all the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import envs
from bellmax.training._collect import collect, start_lane
from training import laws

DIARY_LAWS = [
    laws.law_keys_differ,
    laws.law_action_keys_differ_between_lanes,
    laws.law_successor_is_true,
    laws.law_action_is_stored_as_sampled,
    laws.law_memory_is_reset,
    laws.law_step_is_counted,
    laws.law_episode_metrics,
]


@pytest.fixture(scope="module")
def diary():
    return laws.read_diary(laws.REAL, calls=3)


@pytest.mark.parametrize("law", DIARY_LAWS, ids=lambda law: law.__name__.removeprefix("law_"))
def test_collect_keeps_the_law(law, diary):
    law(laws.REAL, diary)


def test_all_kinds_of_ends_were_seen(diary):
    # Else the laws above would say less than they seem to.
    _, pages = diary
    ends = {
        (bool(terminated), bool(truncated))
        for page, _ in pages
        for terminated, truncated in zip(
            page["transition"].terminated.ravel(), page["transition"].truncated.ravel(), strict=True
        )
    }
    assert ends == {(False, False), (True, False), (False, True), (True, True)}


def test_lanes_do_not_depend_on_devices():
    laws.law_lanes_do_not_depend_on_devices(laws.REAL)


def run_chain(chain, length, state_changes=lambda lanes: lanes, lanes=2):
    algorithm = laws.Forward(0)
    keys = jax.random.split(jax.random.key(0), lanes)
    start = state_changes(jax.vmap(lambda key: start_lane(algorithm, chain, key))(keys))
    return collect(
        algorithm, chain, None, start, length=length, step=jnp.zeros(()), steps_at_once=2, key=jax.random.key(1)
    )


def test_without_a_finished_episode_the_return_is_unknown():
    lanes, _, metrics = run_chain(envs.Chain(time_limit=100, stay_reward=0.5), length=4)
    for name in ("episode_return", "episode_length"):
        assert float(metrics[name].weight) == 0
        assert np.isnan(metrics[name].value)
    np.testing.assert_array_equal(lanes.episode_return, [2.0, 2.0])
    np.testing.assert_array_equal(lanes.episode_length, [4.0, 4.0])


def test_return_spans_rollouts():
    chain = envs.Chain(time_limit=5, stay_reward=0.5)

    def three_steps_in(lanes):
        environment = lanes.environment._replace(time=jnp.full(2, 3))
        return type(lanes)(environment, lanes.observation, lanes.memory, jnp.full(2, 1.5), jnp.full(2, 3.0))

    _, transitions, metrics = run_chain(chain, 2, three_steps_in)
    np.testing.assert_array_equal(transitions.truncated, [[False] * 2, [True] * 2])
    # Three steps before, two now, half a point each.
    assert (float(metrics["episode_return"].value), float(metrics["episode_length"].value)) == (2.5, 5.0)


def test_nan_reward_of_one_lane_leaves_the_returns_of_the_others():
    def poison(lanes):
        environment = lanes.environment._replace(time=jnp.array([0, 9]))
        return type(lanes)(environment, lanes.observation, lanes.memory, jnp.array([jnp.nan, 0.0]), jnp.zeros(2))

    # Lane 1 ends in this rollout with return 0; lane 0, whose return is NaN, goes on.
    _, _, metrics = run_chain(envs.Chain(time_limit=10), 1, poison)
    assert float(metrics["episode_return"].weight) == 1
    assert float(metrics["episode_return"].value) == 0


def test_episodes_begin_differently():
    # A lane that is reset often sees new starts, not one start again and again.
    algorithm, chain = laws.Forward(1), envs.Chain(length=8, time_limit=1)
    lanes = jax.vmap(lambda key: start_lane(algorithm, chain, key))(jax.random.split(jax.random.key(0), 2))
    _, transitions, _ = collect(
        algorithm, chain, None, lanes, length=20, step=jnp.zeros(()), steps_at_once=2, key=jax.random.key(1)
    )
    positions = np.asarray(transitions.observation).argmax(-1)
    assert all(len(np.unique(positions[:, lane])) >= 4 for lane in range(2))
    assert (positions[:, 0] != positions[:, 1]).any()
