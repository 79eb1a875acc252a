from collections import deque

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import returns
from helpers import assert_close, float32, n_step_loop

pytestmark = pytest.mark.slow

n_step_transitions = jax.jit(returns.n_step_transitions, static_argnums=2)
_numbers = hnp.arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (7, 3), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))


def test_by_hand():
    rewards, discounts, lambdas = float32([1, 2, 4, 8, 16], [0.5, 0.5, 0.5, 0, 0.5], [1, 0, 1, 1, 1])
    found = n_step_transitions(rewards, discounts, 3, lambdas)
    # From 0: 1 + ½·2, cut after step 1. From 2: 4 + ½·8, an end at step 3. From 4: the trajectory has no more.
    assert_close(found.reward, [2, 2, 8, 8, 16])
    assert_close(found.discount, [0.25, 0.5, 0, 0, 0.5])
    np.testing.assert_array_equal(found.steps, [2, 1, 2, 1, 1])
    assert found.steps.dtype == jnp.int32


@hypothesis.given(_numbers, _weights, _numbers, st.sampled_from([1, 3, 9]), _weights)
def test_with_the_value_of_where_it_ends_it_is_the_n_step_return(rewards, discounts, next_values, n, lambdas):
    found = n_step_transitions(rewards, discounts, n, lambdas)
    index = np.arange(7)[:, None] + np.asarray(found.steps) - 1
    target = found.reward + found.discount * np.take_along_axis(next_values, index, axis=0)
    expected = n_step_loop(rewards, discounts, next_values, n, (lambdas != 0).astype(float))
    assert_close(target, expected, rtol=1e-4, atol=1e-3)


def trace_episode(rewards, gamma, n):
    """One episode that terminates, as a cache of n steps gives it out: (reward, discount, steps) of each start."""
    cache, out = deque(), []

    def pop(successor):
        window = list(cache)[:n]
        out.append((sum(gamma**k * r for k, r in enumerate(window)), gamma**n if successor else 0.0, len(window)))
        cache.popleft()

    for reward in rewards:
        cache.append(reward)
        if len(cache) > n:  # the state n steps on has been seen
            pop(True)
    while cache:
        pop(False)
    return np.array(out).T


@pytest.mark.parametrize("n", [1, 2, 4, 20])
def test_an_episode_is_as_a_step_by_step_cache_gives_it(n):
    rewards = np.random.default_rng(n).normal(size=7)
    discounts = np.full(7, 0.9)
    discounts[-1] = 0
    found = returns.n_step_transitions(*float32(rewards, discounts), n)
    expected = trace_episode(rewards, 0.9, n)
    for one, other in zip((found.reward, found.discount, found.steps), expected, strict=True):
        assert_close(one, other)


def test_a_truncated_episode_bootstraps_from_where_it_was_cut():
    ones = jnp.ones(7)
    found = returns.n_step_transitions(ones, 0.5 * ones, 3, ones.at[3].set(0))
    np.testing.assert_array_equal(found.steps, [3, 3, 2, 1, 3, 2, 1])
    assert_close(found.discount, 0.5 ** np.asarray(found.steps))


def test_refusals():
    ones = jnp.ones(3)
    with pytest.raises(ValueError, match="n_step_transitions: n must be at least 1; got 0"):
        returns.n_step_transitions(ones, ones, 0)
    with pytest.raises(ValueError, match="n_step_transitions: a return needs at least one step"):
        returns.n_step_transitions(ones[:0], ones[:0], 2)
    with pytest.raises(TypeError, match="n_step_transitions"):
        returns.n_step_transitions(ones, ones, 1.5)
