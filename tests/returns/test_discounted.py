import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import returns
from helpers import assert_close, float32, lenient, trajectory

pytestmark = pytest.mark.slow

discounted_returns = jax.jit(returns.discounted_returns)


def test_by_hand():
    rewards, discounts = float32([1, 2, 4], [0.5, 0, 0.5])
    # G₂ = 4 + ½·10 = 9; G₁ = 2, an end; G₀ = 1 + ½·2 = 2
    assert_close(discounted_returns(rewards, discounts, 10.0), [2, 2, 9])
    assert_close(returns.discounted_returns(rewards, discounts), [2, 2, 4])


def test_is_the_lambda_return_whose_last_value_is_the_bootstrap():
    _, rewards, discounts, next_values, _ = float32(*trajectory())
    expected = returns.lambda_returns(rewards, discounts, next_values)
    assert_close(discounted_returns(rewards, discounts, next_values[-1]), expected, rtol=1e-6, atol=1e-6)


def test_integers_and_one_bootstrap_for_all_are_taken():
    _, rewards, discounts, _, _ = float32(*trajectory())
    expected = discounted_returns(rewards, discounts, jnp.full(3, 2.0))
    for two in (2, np.float64(2), np.full(3, 2)):
        assert_close(returns.discounted_returns(rewards, discounts, two), expected)


def test_equals_rlax():
    _, rewards, discounts, next_values, _ = float32(*trajectory(9))
    with lenient():
        each = jax.jit(jax.vmap(rlax.discounted_returns, 1, 1))(rewards, discounts, next_values)
        one = jax.jit(jax.vmap(rlax.discounted_returns, (1, 1, None), 1))(rewards, discounts, 0.5)
    assert_close(discounted_returns(rewards, discounts, next_values[-1]), each, rtol=1e-6, atol=1e-6)
    assert_close(discounted_returns(rewards, discounts, 0.5), one, rtol=1e-6, atol=1e-6)


def test_an_infinite_terminal_value_is_erased_and_a_nan_that_counts_is_not():
    rewards, discounts = float32([1, 2, 4], [0.5, 0.5, 0])
    assert_close(discounted_returns(rewards, discounts, jnp.inf), [3, 4, 4])
    assert np.isnan(discounted_returns(rewards, 1 + discounts, jnp.nan)).all()


def test_wrong_bootstraps_and_an_empty_trajectory_are_refused():
    ones = jnp.ones((4, 3))
    with pytest.raises(TypeError, match="bootstrap_value"):
        returns.discounted_returns(ones, ones, jnp.ones(4))
    with pytest.raises(ValueError, match="discounted_returns: a return needs at least one step"):
        returns.discounted_returns(ones[:0], ones[:0])
