import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import returns
from cases.returns_trajectories import upgo_loop
from helpers import assert_close, float32, gradient, trajectory

pytestmark = pytest.mark.slow

upgo_returns = jax.jit(returns.upgo_returns)
# Whole numbers and halves, so that comparisons are the same in float32.
_numbers = hnp.arrays(np.float32, (7, 3), elements=st.integers(-8, 8))
_weights = hnp.arrays(np.float32, (7, 3), elements=st.sampled_from([0.0, 0.5, 1.0]))


def test_by_hand():
    values, rewards, discounts, after = float32([0, 3, 1, 9], [1, 1, 1, 1], [0.5] * 4, [3, 1, 9, 4])
    # One step ahead: 2.5 ≥ 0, 1.5 < 3, 5.5 ≥ 1, 3 < 9. G₃ = 1 + ½·4 = 3; G₂ = 1 + ½·9 = 5.5, since step 3 is worse;
    # G₁ = 1 + ½·5.5 = 3.75; G₀ = 1 + ½·3 = 2.5, since step 1 is worse.
    assert_close(upgo_returns(values, rewards, discounts, after), [2.5, 3.75, 5.5, 3])


def test_as_good_as_expected_is_good_enough():
    # Step 1 gives 1 + ½·2 = 2, exactly V: the return goes on through it.
    values, rewards, discounts, after = float32([0, 2, 0, 0], [0, 1, 5, 0], [0.5] * 4, [2, 2, 0, 0])
    assert_close(upgo_returns(values, rewards, discounts, after), [1.75, 3.5, 5, 0])


@hypothesis.given(_numbers, _numbers, _weights, _numbers, _weights)
def test_equals_the_loop_on_any_input(values, rewards, discounts, next_values, lambdas):
    expected = upgo_loop(*(np.float64(x) for x in (values, rewards, discounts, next_values, lambdas)))
    assert_close(upgo_returns(values, rewards, discounts, next_values, lambdas), expected)


def test_low_values_follow_the_trajectory_and_high_ones_bootstrap_at_once():
    _, rewards, discounts, next_values, lambdas = float32(*trajectory())
    low, high = jnp.full_like(rewards, -100), jnp.full_like(rewards, 100)
    expected = returns.lambda_returns(rewards, discounts, next_values, lambdas)
    assert_close(upgo_returns(low, rewards, discounts, next_values, lambdas), expected)
    expected = rewards + discounts * next_values
    assert_close(upgo_returns(high, rewards, discounts, next_values, lambdas), expected)


def test_a_value_that_cannot_be_compared_is_seen_up_to_the_end_before_it():
    values, rewards, discounts, after = float32([0, 0, np.nan, 0], np.ones(4), [1, 1, 1, 1], np.ones(4))
    np.testing.assert_array_equal(np.isnan(upgo_returns(values, rewards, discounts, after)), [1, 1, 0, 0])
    found = upgo_returns(values, rewards, discounts, after, jnp.array([1.0, 0, 1, 1]))
    np.testing.assert_array_equal(np.isnan(found), [0, 0, 0, 0])
    found = upgo_returns(values, rewards, discounts.at[1].set(0), after)
    np.testing.assert_array_equal(np.isnan(found), [0, 0, 0, 0])


def test_no_gradient_through_the_comparison():
    values, rewards, discounts, after = float32([0, 3, 1, 9], [1, 1, 1, 1], [0.5] * 4, [3, 1, 9, 4])
    slope = gradient(lambda values: upgo_returns(values, rewards, discounts, after), values)
    assert (np.asarray(slope) == 0).all()
