import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax

from bellmax.losses import double_q_learning_error, q_learning_error
from helpers import (
    action_values,
    as_q_arguments,
    assert_close,
    check_action_outside_is_nan,
    check_double_q_loop,
    check_double_q_target_is_data,
    check_q_learning_loop,
    check_q_learning_masked_terminal,
    check_q_learning_target_is_data,
    float32,
    gradient,
    lenient,
    q_learning_loop,
)

_values = hnp.arrays(np.float32, (4, 3), elements=st.floats(-100, 100, width=32))
_numbers = hnp.arrays(np.float32, 4, elements=st.floats(-100, 100, width=32))
_discounts = hnp.arrays(np.float32, 4, elements=st.sampled_from([0.0, 0.5, 1.0]))
_actions = hnp.arrays(np.int32, 4, elements=st.integers(0, 2))
_jitted, _double_jitted = jax.jit(q_learning_error), jax.jit(double_q_learning_error)


def test_by_hand():
    q, next_q = float32([[1, 2], [3, 4]], [[5, 6], [7, 8]])
    # 1 + ½·6 − 1 = 3; 2 + 0 − 4 = −2
    assert_close(q_learning_error(q, jnp.array([0, 1]), *float32([1, 2], [0.5, 0]), next_q), [3, -2])


def test_double_by_hand():
    q, next_q, selector = float32([[1, 2], [3, 4]], [[5, 6], [7, 8]], [[1, 0], [0, 1]])
    # The selector takes 0, then 1: 1 + ½·5 − 1 = 2.5; 2 + 1·8 − 4 = 6
    error = double_q_learning_error(q, jnp.array([0, 1]), *float32([1, 2], [0.5, 1]), next_q, selector)
    assert_close(error, [2.5, 6])


def test_equals_the_loop():
    check_q_learning_loop(q_learning_error)


def test_double_equals_the_loop():
    check_double_q_loop(double_q_learning_error)


@hypothesis.given(_values, _actions, _numbers, _discounts, _values, _values)
def test_both_equal_the_loop_on_any_input(q, action, reward, discount, next_q, selector):
    wide = [x.astype(np.float64) for x in (q, reward, discount, next_q, selector)]
    expected = q_learning_loop(wide[0], action, *wide[1:4])
    assert_close(_jitted(q, action, reward, discount, next_q), expected, rtol=1e-4, atol=1e-3)
    expected = q_learning_loop(wide[0], action, *wide[1:])
    assert_close(_double_jitted(q, action, reward, discount, next_q, selector), expected, rtol=1e-4, atol=1e-3)


def test_double_with_its_own_selector_is_q_learning():
    args = as_q_arguments(*action_values()[:5])
    assert_close(double_q_learning_error(*args, args[-1]), q_learning_error(*args), rtol=0, atol=0)


def test_double_is_never_more_optimistic():
    args = as_q_arguments(*action_values(3))
    assert (double_q_learning_error(*args) <= q_learning_error(*args[:5])).all()


def test_gradient_is_minus_one_at_the_taken_action_and_zero_elsewhere():
    args = as_q_arguments(*action_values(2))
    expected = -np.eye(4)[np.asarray(args[1])]
    np.testing.assert_array_equal(gradient(q_learning_error, *args[:5]), expected)
    np.testing.assert_array_equal(gradient(double_q_learning_error, *args), expected)


def test_target_is_data():
    check_q_learning_target_is_data(q_learning_error)


def test_double_target_is_data():
    check_double_q_target_is_data(double_q_learning_error)


def test_terminal_state_whose_actions_are_all_masked_is_erased():
    check_q_learning_masked_terminal(q_learning_error)
    check_q_learning_masked_terminal(lambda *args: double_q_learning_error(*args, args[-1]))


def test_masked_next_actions_are_not_chosen():
    q, next_q = float32([[1, 2, 3]], [[-np.inf, 2, -np.inf]])
    args = (q, jnp.array([0]), *float32([1], [1]), next_q)
    assert_close(q_learning_error(*args), [2])
    assert_close(double_q_learning_error(*args, next_q), [2])


def test_masked_prediction_elsewhere_cannot_poison():
    q, next_q = float32([[1, -np.inf]], [[2, 2]])
    args = (q, jnp.array([0]), *float32([1], [1]), next_q)
    assert_close(q_learning_error(*args), [2])
    assert_close(gradient(q_learning_error, *args), [[-1, 0]])


def test_nan_stays_visible():
    q, next_q = float32([[1, 2]], [[np.nan, 2]])
    args = (q, jnp.array([0]), *float32([1], [1]), next_q)
    assert np.isnan(q_learning_error(*args)).all()
    assert np.isnan(double_q_learning_error(*args, next_q)).all()


def test_an_action_outside_gives_nan():
    check_action_outside_is_nan(q_learning_error)
    check_action_outside_is_nan(lambda *args: double_q_learning_error(*args, args[-1]))


def test_equal_rlax():
    args = as_q_arguments(*action_values(9))
    with lenient():
        expected, expected_double = jax.vmap(rlax.q_learning)(*args[:5]), jax.vmap(rlax.double_q_learning)(*args)
    assert_close(q_learning_error(*args[:5]), expected, rtol=1e-6, atol=1e-6)
    assert_close(double_q_learning_error(*args), expected_double, rtol=1e-6, atol=1e-6)


def test_python_numbers_are_converted():
    error = q_learning_error(np.array([1.0, 2.0]), 0, 1, 0.5, np.array([3, 4]))
    assert error.shape == ()
    assert error.dtype == jnp.float32
    assert error == 2


@pytest.mark.parametrize("action", [np.zeros(6), np.zeros(6, bool), np.zeros((6, 1), np.int32), np.zeros(5, np.int32)])
def test_actions_of_the_wrong_type_or_shape_are_refused(action):
    q, _, reward, discount, next_q, selector = float32(*action_values())
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)q_learning_error.*action"):
        q_learning_error(q, action, reward, discount, next_q)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)double_q_learning_error.*action"):
        double_q_learning_error(q, action, reward, discount, next_q, selector)


def test_a_different_number_of_actions_is_refused():
    q, action, reward, discount, next_q, selector = as_q_arguments(*action_values())
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)q_learning_error.*next_q"):
        q_learning_error(q, action, reward, discount, next_q[:, :3])
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)double_q_learning_error.*next_q_selector"):
        double_q_learning_error(q, action, reward, discount, next_q, selector[:, :3])


def test_a_column_of_rewards_is_refused():
    q, action, reward, discount, next_q, _ = as_q_arguments(*action_values())
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)q_learning_error.*reward"):
        jax.jit(q_learning_error)(q, action, reward[:, None], discount, next_q)


def test_nan_of_the_selector_stays_visible():
    q = jnp.ones(2)
    zero = jnp.zeros((), jnp.int32)
    error = double_q_learning_error(q, zero, 1.0, 0.5, q, jnp.array([jnp.nan, 1.0]))
    assert jnp.isnan(error)
