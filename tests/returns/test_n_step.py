import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.returns import lambda_returns, n_step_returns
from helpers import (
    assert_close,
    check_n_step_ignores_what_follows_a_termination,
    check_n_step_loop,
    float32,
    gradient,
    lenient,
    n_step_loop,
    trajectory,
)

_numbers = hnp.arrays(np.float32, (5, 2), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (5, 2), elements=st.sampled_from([0.0, 0.25, 0.5, 0.875, 1.0]))
_jitted = jax.jit(n_step_returns, static_argnums=3)


def test_by_hand():
    rewards, discounts, next_values = float32([1, 2, 3, 4], [0.5] * 4, [10, 20, 30, 40])
    # Two steps: 1 + ½(2 + ½·20) = 7; 2 + ½(3 + ½·30) = 11; 3 + ½(4 + ½·40) = 15; 4 + ½·40 = 24
    assert_close(n_step_returns(rewards, discounts, next_values, 2), [7, 11, 15, 24])


def test_equals_the_loop():
    check_n_step_loop(n_step_returns)


@hypothesis.given(_numbers, _weights, _numbers, st.sampled_from([1, 2, 4]), _weights)
def test_equals_the_loop_on_any_input(rewards, discounts, next_values, n, lambdas):
    expected = n_step_loop(rewards, discounts, next_values, n, lambdas)
    assert_close(_jitted(rewards, discounts, next_values, n, lambdas), expected, rtol=1e-4, atol=1e-3)


def test_one_step_is_the_one_step_target():
    _, rewards, discounts, next_values, _ = trajectory()
    assert_close(n_step_returns(*float32(rewards, discounts, next_values), 1), rewards + discounts * next_values)


@pytest.mark.parametrize("n", [7, 8, 100])
def test_the_whole_trajectory_is_the_lambda_return(n):
    _, rewards, discounts, next_values, lambdas = float32(*trajectory())
    expected = lambda_returns(rewards, discounts, next_values, lambdas)
    assert_close(n_step_returns(rewards, discounts, next_values, n, lambdas), expected)
    expected = lambda_returns(rewards, discounts, next_values)
    assert_close(n_step_returns(rewards, discounts, next_values, n), expected)


def test_truncation_bootstraps_there_as_if_the_pieces_were_apart():
    _, rewards, discounts, next_values, _ = trajectory(1, ends=False)
    args = float32(rewards, discounts, next_values)
    lambdas = jnp.ones((7, 3)).at[2].set(0)
    apart = [_jitted(*(x[piece] for x in args), 3) for piece in (slice(0, 3), slice(3, 7))]
    assert_close(_jitted(*args, 3, lambdas), jnp.concatenate(apart))


def test_termination_cuts_as_if_the_pieces_were_apart():
    _, rewards, discounts, next_values, _ = trajectory(2, ends=False)
    discounts[2], next_values[2] = 0, np.inf
    args = float32(rewards, discounts, next_values)
    apart = [_jitted(*(x[piece] for x in args), 3) for piece in (slice(0, 3), slice(3, 7))]
    assert_close(_jitted(*args, 3), jnp.concatenate(apart))


def test_what_follows_a_termination_is_ignored():
    check_n_step_ignores_what_follows_a_termination(n_step_returns)


def test_gradient_is_finite_beside_an_infinite_terminal_value():
    rewards, discounts, next_values = float32(np.ones(4), [1, 0, 1, 1], [10, np.inf, 10, 10])
    slope = gradient(lambda values: n_step_returns(rewards, discounts, values, 2), next_values)
    # Steps 2 and 3 both look to the last value; step 0 stops at the termination.
    assert_close(slope, [0, 0, 0, 2])


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_reward_is_refused(n):
    ones = jnp.ones(3)
    with pytest.raises(ValueError, match="n_step_returns: n must be at least 1"):
        n_step_returns(ones, ones, ones, n)
    with pytest.raises(ValueError, match="n must be at least 1"):
        jax.jit(n_step_returns, static_argnums=3)(ones, ones, ones, n)


def test_n_is_a_python_integer():
    ones = jnp.ones(3)
    with pytest.raises(TypeError, match="n_step_returns"):
        n_step_returns(ones, ones, ones, 1.5)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_equals_rlax(n):
    _, rewards, discounts, next_values, lambdas = float32(*trajectory(9))
    with lenient():
        n_step = jax.vmap(rlax.n_step_bootstrapped_returns, (1, 1, 1, None, 1), 1)
        expected = n_step(rewards, discounts, next_values, n, lambdas)
    assert_close(n_step_returns(rewards, discounts, next_values, n, lambdas), expected, rtol=1e-6, atol=1e-6)


def test_half_precision_stays_where_rlax_widens_it():
    rewards = jnp.ones(3, jnp.bfloat16)
    assert n_step_returns(rewards, rewards, rewards, 2).dtype == jnp.bfloat16
    with lenient():
        assert rlax.n_step_bootstrapped_returns(rewards, rewards, rewards, 2).dtype == jnp.float32
