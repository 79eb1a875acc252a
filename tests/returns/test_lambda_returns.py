import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.returns import lambda_returns
from helpers import (
    assert_close,
    check_lambda_returns_cut_at_termination,
    check_lambda_returns_cut_at_truncation,
    check_lambda_returns_loop,
    float32,
    gradient,
    lambda_returns_loop,
    lenient,
    trajectory,
)

_numbers = hnp.arrays(np.float32, (5, 2), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (5, 2), elements=st.sampled_from([0.0, 0.25, 0.5, 0.875, 1.0]))
_jitted = jax.jit(lambda_returns)


def test_by_hand():
    rewards, discounts, next_values, lambdas = float32([1, 2, 3], [0.5, 0.5, 0.5], [10, 20, 30], [0.5, 0.5, 0.5])
    # G₂ = 3 + ½·30 = 18; G₁ = 2 + ½(½·20 + ½·18) = 11.5; G₀ = 1 + ½(½·10 + ½·11.5) = 6.375
    assert_close(lambda_returns(rewards, discounts, next_values, lambdas), [6.375, 11.5, 18])


def test_equals_the_loop():
    check_lambda_returns_loop(lambda_returns)


@hypothesis.given(_numbers, _weights, _numbers, _weights)
def test_equals_the_loop_on_any_input(rewards, discounts, next_values, lambdas):
    expected = lambda_returns_loop(rewards, discounts, next_values, lambdas)
    assert_close(_jitted(rewards, discounts, next_values, lambdas), expected, rtol=1e-4, atol=1e-3)


def test_lambda_zero_is_the_one_step_target():
    _, rewards, discounts, next_values, _ = trajectory()
    expected = rewards + discounts * next_values
    assert_close(lambda_returns(*float32(rewards, discounts, next_values), 0.0), expected)


def test_lambda_one_without_end_is_the_discounted_return():
    _, rewards, discounts, next_values, _ = trajectory(ends=False)
    later, expected = next_values[-1], np.zeros_like(rewards)
    for t in reversed(range(7)):
        later = expected[t] = rewards[t] + discounts[t] * later
    args = float32(rewards, discounts, next_values)
    assert_close(lambda_returns(*args), expected)
    # The default is λ = 1, and then no value but the last is looked at.
    poisoned = args[2].at[:-1].set(jnp.nan)
    assert_close(lambda_returns(args[0], args[1], poisoned, 1), expected)


def test_scalar_lambda_equals_a_full_one():
    _, *args = trajectory()
    rewards, discounts, next_values = float32(*args[:3])
    full = lambda_returns(rewards, discounts, next_values, jnp.full((7, 3), 0.7))
    for lambda_ in (0.7, jnp.float32(0.7), np.float64(0.7)):
        assert_close(lambda_returns(rewards, discounts, next_values, lambda_), full)


def test_linear_in_rewards_and_values():
    _, rewards, discounts, next_values, lambdas = float32(*trajectory())
    both = lambda_returns(3 * rewards, discounts, 3 * next_values, lambdas)
    assert_close(both, 3 * lambda_returns(rewards, discounts, next_values, lambdas))


def test_truncation_cuts_as_if_the_pieces_were_apart():
    check_lambda_returns_cut_at_truncation(lambda_returns)


def test_termination_cuts_as_if_the_pieces_were_apart():
    check_lambda_returns_cut_at_termination(lambda_returns)


@pytest.mark.parametrize("poison", [np.inf, -np.inf, np.nan])
def test_zero_discount_erases_the_next_value_and_its_gradient(poison):
    rewards, discounts, next_values = float32([1, 1, 1], [0.5, 0, 0.5], [2, poison, 2])
    assert_close(lambda_returns(rewards, discounts, next_values, 0.5), [1 + 0.5 * (0.5 * 2 + 0.5 * 1), 1, 2])
    slope = gradient(lambda rewards, values: lambda_returns(rewards, discounts, values, 0.5), rewards, next_values)
    assert np.isfinite(slope).all()
    slope = gradient(lambda values: lambda_returns(rewards, discounts, values, 0.5), next_values)
    # Step 0 sees a quarter of its own value; step 2 a half of its own, and nobody sees step 2.
    assert_close(slope, [0.25, 0, 0.5])


def test_truncated_tail_may_be_anything():
    rewards, discounts, next_values = float32([1, 1, 1], [0.5, 0.5, 0.5], [2, 4, np.inf])
    returns = lambda_returns(rewards, discounts, next_values, float32([1, 0, 1])[0])
    assert_close(returns[:2], [1 + 0.5 * 3, 3])


def test_nan_reward_stays_visible_and_stays_behind_the_end():
    rewards, discounts, next_values = float32([1, np.nan, 1, np.nan], [1, 1, 0, 1], [1, 1, 1, 1])
    np.testing.assert_array_equal(np.isnan(lambda_returns(rewards, discounts, next_values)), [1, 1, 0, 1])


def test_equals_rlax():
    _, rewards, discounts, next_values, lambdas = float32(*trajectory(9))
    with lenient():
        expected = jax.vmap(rlax.lambda_returns, in_axes=1, out_axes=1)(rewards, discounts, next_values, lambdas)
    assert_close(lambda_returns(rewards, discounts, next_values, lambdas), expected, rtol=1e-6, atol=1e-6)
