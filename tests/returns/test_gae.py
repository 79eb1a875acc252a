import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax

from bellmax.returns import gae, lambda_returns
from helpers import (
    assert_close,
    check_gae_loop,
    float32,
    gae_loop,
    lambda_returns_loop,
    lenient,
    textbook_gae_loop,
    trajectory,
)

_numbers = hnp.arrays(np.float32, (5, 2), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (5, 2), elements=st.sampled_from([0.0, 0.25, 0.5, 0.875, 1.0]))
_jitted = jax.jit(gae)


def test_by_hand():
    values, rewards, discounts, next_values = float32([1, 2], [1, 1], [0.5, 0.5], [2, 4])
    # δ₁ = 1 + ½·4 − 2 = 1; δ₀ = 1 + ½·2 − 1 = 1; A₀ = 1 + ½·½·1 = 1.25
    assert_close(gae(values, rewards, discounts, next_values, 0.5), [1.25, 1])


def test_equals_the_loop():
    check_gae_loop(gae)


@hypothesis.given(_numbers, _numbers, _weights, _numbers, _weights)
def test_equals_the_loop_on_any_input(values, rewards, discounts, next_values, lambdas):
    expected = gae_loop(values, rewards, discounts, next_values, lambdas)
    assert_close(_jitted(values, rewards, discounts, next_values, lambdas), expected, rtol=1e-4, atol=1e-3)


def test_is_the_lambda_return_minus_the_value():
    values, *rest = float32(*trajectory())
    assert_close(gae(values, *rest), lambda_returns(*rest) - values)


def test_is_the_textbooks_where_the_next_value_is_the_next_steps_value():
    values, rewards, discounts, next_values, lambdas = trajectory(2)
    goes_on = (discounts[:-1] != 0) & (lambdas[:-1] != 0)
    next_values[:-1] = np.where(goes_on, values[1:], next_values[:-1])  # at an end there is another successor
    args = values, rewards, discounts, next_values, lambdas
    assert_close(gae(*float32(*args)), textbook_gae_loop(*args))
    # With a second network's next values it is the λ-return less the value, and not the sum of errors.
    args = values, rewards, discounts, next_values + 1, lambdas
    assert_close(gae(*float32(*args)), lambda_returns_loop(*args[1:]) - values)
    assert not np.allclose(gae(*float32(*args)), textbook_gae_loop(*args), atol=0.1)


def test_lambda_is_one_by_default():
    values, *rest, _ = float32(*trajectory())
    np.testing.assert_array_equal(_jitted(values, *rest), _jitted(values, *rest, 1.0))


def test_lambda_zero_is_the_one_step_error():
    values, rewards, discounts, next_values, _ = trajectory()
    expected = rewards + discounts * next_values - values
    assert_close(gae(*float32(values, rewards, discounts, next_values), 0.0), expected)


def test_cut_at_a_truncation_and_at_a_termination_as_if_the_pieces_were_apart():
    values, rewards, discounts, next_values, lambdas = trajectory(1, time=8, ends=False)
    lambdas[2] = 0
    discounts[5] = 0
    args = float32(values, rewards, discounts, next_values, lambdas)
    pieces = [_jitted(*(x[piece] for x in args)) for piece in (slice(0, 3), slice(3, 6), slice(6, 8))]
    assert_close(_jitted(*args), jnp.concatenate(pieces))


def test_true_values_of_a_known_chain_have_no_advantage():
    # Reward 1 a step for ever at discount ½ is worth 2 everywhere.
    twos, ones = jnp.full(6, 2.0), jnp.ones(6)
    for lambda_ in (0.0, 0.5, 1.0):
        assert_close(gae(twos, ones, 0.5 * ones, twos, lambda_), np.zeros(6))


def test_equals_rlax():
    values, rewards, discounts, next_values, lambdas = float32(*trajectory(9))
    with lenient():
        td = jax.vmap(lambda *args: rlax.td_lambda(*args, stop_target_gradients=False), in_axes=1, out_axes=1)
        expected = td(values, rewards, discounts, next_values, lambdas)
    assert_close(gae(values, rewards, discounts, next_values, lambdas), expected, rtol=1e-6, atol=1e-6)


def test_equals_rlax_where_values_are_one_sequence():
    rng = np.random.default_rng(0)
    values, rewards, discounts = float32(rng.normal(size=8), rng.normal(size=7), rng.uniform(0.5, 1, 7))
    with lenient():
        expected = rlax.truncated_generalized_advantage_estimation(rewards, discounts, 0.9, values)
    assert_close(gae(values[:-1], rewards, discounts, values[1:], 0.9), expected, rtol=1e-6, atol=1e-6)


def test_values_that_do_not_fit_are_refused_where_rlax_broadcasts_them():
    ones = jnp.ones(3)
    with pytest.raises(jaxtyping.TypeCheckError, match="gae"):
        gae(ones[:1], ones, ones, ones[:1], 0.9)
    with lenient():
        assert rlax.truncated_generalized_advantage_estimation(ones, ones, 0.9, ones[:2]).shape == (3,)
