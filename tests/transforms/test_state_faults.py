"""Faults planted in the functions of states: a short check of each must see them."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faults import changed
from helpers import assert_close

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
A, B, MASK = jnp.array([1.0, 3.0]), jnp.array([8.0, jnp.nan]), jnp.array([True, False])


def check_moments(module):
    @quick
    def run():
        some = module.update_moments(module.init_moments(jnp.zeros(())), A)
        both = module.update_moments(some, B, MASK)
        return both, module.merge_moments(both, some)

    # 1, 3, 8: mean 4, variance (9 + 1 + 16)/3; with 1, 3 again: 16/5, and 84/5 less its square
    both, merged = run()
    assert_close([both.mean, both.variance], [4, 26 / 3])
    assert_close([merged.mean, merged.variance], [16 / 5, 84 / 5 - (16 / 5) ** 2])
    assert [int(both.count), int(merged.count)] == [3, 5]


def check_ema(module):
    @quick
    def run():
        some = module.update_ema_moments(module.init_ema_moments(jnp.zeros(())), A, decay=0.75)
        return module.update_ema_moments(some, B, MASK, decay=0.75)

    # Weights 0.25·0.75 and 0.25: 3/7 of {1, 3} and 4/7 of 8. Mean 38/7, mean of squares (15 + 256)/7
    found = run()
    assert_close([found.mean, found.variance, found.weight], [38 / 7, 271 / 7 - (38 / 7) ** 2, 7 / 16])


def check_popart(module):
    @quick
    def run():
        targets, index = jnp.array([9.0, 11.0, jnp.nan, 100.0]), jnp.array([0, 0, 0, 7], jnp.int32)
        mask = jnp.array([True, True, False, True])
        return module.update_popart(module.init_popart(2), targets, index, mask, step_size=0.5, scale_high=5.0)

    # 0 + 0.5·10 = 5; half of 1 and of (81 + 121)/2, less 25, is 26, whose root is above 5
    found = run()
    assert_close([found.mean, found.variance, found.scale], [[5, 0], [26, 1], [5, 1]])


def check_range(module):
    @quick
    def run():
        state = module.update_return_range(module.init_return_range(), jnp.arange(5.0), low=25, high=75, decay=0.5)
        return module.update_return_range(state, jnp.array([9.0, jnp.nan]), MASK, low=25, high=75, decay=0.5)

    # 1 and 3 with weight 0.25, then 9 and 9 with 0.5: (1 + 18)/3 and (3 + 18)/3
    found = run()
    assert_close([found.low, found.high, found.weight], [19 / 3, 7, 0.75])


def check_reward_scale(module):
    @quick
    def run():
        rewards = jnp.array([1.0, 1.0, jnp.nan, 5.0])
        ends, mask = jnp.array([False, False, True, True]), jnp.array([True, True, False, True])
        state = module.update_reward_scale(module.init_reward_scale(), rewards, ends, mask, gamma=0.5)
        return module.update_reward_scale(state, jnp.ones(1), jnp.zeros(1, bool), gamma=0.5)

    # Sums 1, 1.5, 5.75 and, after the end, 1
    found = run()
    sums = [1, 1.5, 5.75, 1]
    assert_close([found.running, found.moments.mean, found.moments.variance], [1, np.mean(sums), np.var(sums)])


CHECKS = {
    "_moments": check_moments,
    "_ema": check_ema,
    "_popart": check_popart,
    "_return_range": check_range,
    "_reward_scale": check_reward_scale,
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_source_passes(name):
    CHECKS[name](importlib.import_module(f"bellmax.transforms.{name}"))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("_moments", "square = (1 - by) * jnp", "square = jnp"),
        ("_moments", "_share(other.count, count), step", "_share(moments.count, count), step"),
        ("_moments", "add_pair(other, other_rest, -mean, -rest)", "add_pair(mean, rest, -other, -other_rest)"),
        ("_moments", "x, mask, axis_name)", "x, None, axis_name)"),
        ("_moments", "by * (gap + square), by", "by * square, by"),
        ("_ema", "return (1 - by) * (variance", "return (variance"),
        ("_ema", "share = (1 - decay) / jnp.where(weight == 0, 1, weight)", "share = 1 - decay"),
        ("_ema", "jnp.square(step + rest)) + by * square", "jnp.square(step + rest))"),
        ("_popart", "keep = keep & jnp", "keep = keep | jnp"),
        ("_popart", "variance = (1 - by) * (state.variance +", "variance = (state.variance +"),
        ("_popart", "by = jnp.where(count == 0, 0, jnp", "by = jnp.where(count < 0, 0, jnp"),
        ("_popart", "/ jnp.maximum(count, 1).astype(x.dtype)", ""),
        ("_popart", "jnp.sqrt(jnp.clip(variance, low, high))", "jnp.sqrt(variance)"),
        ("_return_range", "jnp.where(keep, x, jnp.inf)", "jnp.where(keep, x, 0)"),
        ("_return_range", "share = (1 - decay) / jnp.where(weight == 0, 1, weight)", "share = 1 - decay"),
        ("_return_range", "/ 100 * last", "/ 100 * count"),
        ("_reward_scale", "jnp.where(end, 0, total)", "total"),
        ("_reward_scale", "jnp.where(end, 0, total), running)", "jnp.where(end, 0, total), 0)"),
        ("_reward_scale", "totals, keep, axis_name", "totals, axis_name"),
        ("_reward_scale", "gamma * running + reward", "running + reward"),
    ],
)
def test_the_fault_is_seen(name, old, new):
    faulty = changed(f"bellmax.transforms.{name}", old, new)
    with pytest.raises(AssertionError):
        CHECKS[name](faulty)
