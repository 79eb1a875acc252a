"""The range of returns and the scale of rewards."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.transforms import (
    init_return_range,
    init_reward_scale,
    return_scale,
    scale_reward,
    update_return_range,
    update_reward_scale,
)
from helpers import assert_close

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
update_range = quick(update_return_range)
update_scale = quick(update_reward_scale)
scaled = quick(scale_reward)


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_range_is_the_weighted_mean_of_numpy_percentiles():
    rng = np.random.default_rng(0)
    state, lows, highs = init_return_range(), [], []
    for _ in range(4):
        returns = (20 * rng.normal(size=(5, 7))).astype(np.float32)
        state = update_range(state, returns, decay=0.8, low=10, high=90)
        lows.append(np.percentile(returns.astype(np.float64), 10))
        highs.append(np.percentile(returns.astype(np.float64), 90))
    weights = 0.8 ** np.arange(3, -1, -1.0)
    assert_close(state.low, np.average(lows, weights=weights))
    assert_close(state.high, np.average(highs, weights=weights))
    assert_close(state.weight, 1 - 0.8**4)
    assert_close(return_scale(state), float(state.high) - float(state.low))


def test_scale_by_hand():
    # 0, 1, …, 100: percentiles 5 and 95, at once from the first batch
    assert_close(return_scale(update_range(init_return_range(), jnp.arange(101.0))), 90)
    # 0, 1: 0.05 and 0.95; less than one is one
    small = update_range(init_return_range(), jnp.arange(2.0))
    assert_close([small.low, small.high, return_scale(small)], [0.05, 0.95, 1])
    assert_close(return_scale(small, least=0.5), 0.9)
    assert_close(return_scale(init_return_range()), 1)
    one = update_range(init_return_range(), jnp.array([7.0]))
    assert_close([one.low, one.high], [7, 7])


def test_range_masks_and_nothing():
    returns = jnp.array([3.0, jnp.nan, -1.0, jnp.inf, 5.0])
    mask = jnp.array([True, False, True, False, True])
    state = update_range(init_return_range(), returns, mask)
    assert_close([state.low, state.high], np.percentile([3, -1, 5], [5, 95]))
    same(update_range(state, returns, jnp.zeros(5, bool)), state)
    same(update_range(state, jnp.zeros(0)), state)
    same(update_range(init_return_range(), jnp.zeros(0)), init_return_range())
    slope = quick(jax.grad(lambda x: update_return_range(init_return_range(), x).high))(jnp.arange(5.0))
    assert_close(slope, [0, 0, 0, 0.2, 0.8])  # 95 % of 4 is 3.8
    assert jnp.isnan(update_range(state, returns, jnp.ones(5, bool)).low)  # a NaN that counts stays visible


def test_range_of_two_devices_equals_one_with_unequal_masks():
    returns = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0]], bool)
    whole = update_range(init_return_range(), returns, mask)
    spread = jax.pmap(
        lambda *args: update_return_range(init_return_range(), *args, axis_name="devices"),
        "devices",
        devices=jax.local_devices()[:2],
    )(returns, mask)
    for one, both in zip(jax.tree.leaves(whole), jax.tree.leaves(spread), strict=True):
        np.testing.assert_array_equal(both[0], both[1])
        assert_close(both[0], one, rtol=1e-6)


def test_the_scale_is_data():
    state = update_range(init_return_range(), jnp.arange(5.0))
    slopes = quick(jax.grad(return_scale))(state)
    assert all(float(leaf) == 0 for leaf in jax.tree.leaves(slopes))


def _running_loop(rewards, ends, discount):
    """Running returns lane by lane; an end clears what came before the next reward."""
    totals, running = np.zeros(rewards.shape), np.zeros(rewards.shape[1:])
    for t in range(len(rewards)):
        totals[t] = discount * running + rewards[t]
        running = np.where(ends[t], 0, totals[t])
    return totals, running


def test_reward_scale_equals_the_loop_in_one_call_or_many():
    rng = np.random.default_rng(2)
    rewards = (1 + rng.normal(size=(30, 4))).astype(np.float32)
    ends = rng.uniform(size=(30, 4)) < 0.2
    totals, running = _running_loop(rewards.astype(np.float64), ends, 0.9)
    at_once = update_scale(init_reward_scale((4,)), rewards, ends, gamma=0.9)
    in_parts = init_reward_scale((4,))
    for part in range(0, 30, 10):
        in_parts = update_scale(in_parts, rewards[part : part + 10], ends[part : part + 10], gamma=0.9)
    for state in (at_once, in_parts):
        assert int(state.moments.count) == 120
        assert_close(state.running, running)
        assert_close(state.moments.variance, totals.var(), rtol=1e-5)
        # Divided by the spread, and not centred.
        assert_close(scaled(state, jnp.array([1.0, 0.0])), [1 / totals.std(), 0])


def test_steps_that_are_dropped_never_happened():
    rng = np.random.default_rng(4)
    rewards, ends = rng.normal(size=(9, 2)).astype(np.float32), rng.uniform(size=(9, 2)) < 0.3
    mask = rng.uniform(size=(9, 2)) < 0.6
    ends[~mask] = True
    totals, running = [], np.zeros(2)
    for lane in range(2):
        kept = mask[:, lane]
        own, running[lane] = _running_loop(rewards[kept, lane].astype(np.float64), ends[kept, lane], 0.9)
        totals += own.tolist()
    rewards[~mask] = np.nan
    for kind in (mask, mask.astype(np.float32)):
        state = update_scale(init_reward_scale((2,)), rewards, ends, kind, gamma=0.9)
        assert int(state.moments.count) == mask.sum()
        assert_close(state.running, running)
        assert_close(state.moments.variance, np.var(totals))


def test_reward_scale_of_two_devices_equals_one():
    rng = np.random.default_rng(3)
    rewards, ends = rng.normal(size=(2, 10, 3)).astype(np.float32), rng.uniform(size=(2, 10, 3)) < 0.2
    whole = update_scale(init_reward_scale((6,)), np.concatenate([*rewards], axis=1), np.concatenate([*ends], axis=1))
    spread = jax.pmap(
        lambda *args: update_reward_scale(init_reward_scale((3,)), *args, axis_name="devices"),
        "devices",
        devices=jax.local_devices()[:2],
    )(rewards, ends)
    assert_close(np.concatenate([*spread.running]), whole.running)
    for one, both in zip(jax.tree.leaves(whole.moments), jax.tree.leaves(spread.moments), strict=True):
        np.testing.assert_array_equal(both[0], both[1])
        assert_close(both[0], one, rtol=1e-6, atol=1e-6)


def test_rewards_before_anything_was_counted_and_clipped():
    start = init_reward_scale()
    assert_close(scale_reward(start, jnp.array([3.0, 30.0])), [3, 10])
    assert_close(scale_reward(start, jnp.array([3.0, 30.0]), clip=None), [3, 30])


def test_messages():
    for knobs, message in (
        ({"decay": 1.5}, r"decay must be in \[0, 1\]"),
        ({"low": -1.0}, r"low and high must be percentiles, 0 <= low < high <= 100; got \[-1. 95.\]"),
        ({"high": 101.0}, r"low and high must be percentiles"),
        ({"low": 95.0, "high": 5.0}, r"low and high must be percentiles"),
        ({"low": 50.0, "high": 50.0}, r"low and high must be percentiles"),
    ):
        with pytest.raises(ValueError, match=f"update_return_range: {message}"):
            update_return_range(init_return_range(), jnp.ones(3), **knobs)
    for least in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"return_scale: least must be above 0; got {least}"):
            return_scale(init_return_range(), least=least)
    state = init_reward_scale((3,))
    with pytest.raises(ValueError, match=r"the state has lanes \(3,\); got rewards \(5, 2\)"):
        update_reward_scale(state, jnp.ones((5, 2)), jnp.zeros((5, 2), bool))
    with pytest.raises(ValueError, match=r"update_reward_scale: gamma must be in \[0, 1\]"):
        update_reward_scale(state, jnp.ones((5, 3)), jnp.zeros((5, 3), bool), gamma=2.0)
    with pytest.raises(ValueError, match="scale_reward: clip must be above 0"):
        scale_reward(state, jnp.ones(3), clip=0.0)
    with pytest.raises(ValueError, match="scale_reward: epsilon must be at least 0"):
        scale_reward(state, jnp.ones(3), epsilon=-1.0)
