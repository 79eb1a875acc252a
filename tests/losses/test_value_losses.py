import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from bellmax.losses import clipped_value_loss, value_loss
from helpers import (
    assert_close,
    check_clipped_value_loss,
    check_clipped_value_loss_is_pessimistic,
    check_clipped_value_old_value_is_data,
    check_value_loss,
    check_value_target_is_data,
    float32,
    gradient,
)

_jitted = jax.jit(clipped_value_loss)
_numbers = hnp.arrays(np.float32, 6, elements=st.floats(-10, 10, width=32))


def test_value_loss_by_hand():
    check_value_loss(value_loss)


def test_value_target_is_data():
    check_value_target_is_data(value_loss)


def test_clipped_value_loss_by_hand():
    check_clipped_value_loss(clipped_value_loss)


@hypothesis.given(_numbers, _numbers, _numbers, st.floats(0.05, 2))
def test_clipped_value_loss_equals_the_loop(value, target, old, epsilon):
    moved = old.astype(np.float64) + np.clip(value.astype(np.float64) - old, -epsilon, epsilon)
    expected = 0.5 * np.maximum((target - value.astype(np.float64)) ** 2, (target - moved) ** 2)
    assert_close(_jitted(value, target, old, epsilon=epsilon), expected, rtol=1e-4, atol=1e-4)


def test_clipped_value_loss_is_never_below_the_plain_one():
    check_clipped_value_loss_is_pessimistic(clipped_value_loss)


def test_a_prediction_that_has_not_moved_pays_the_plain_loss_and_gradient():
    value, target = float32(*np.random.default_rng(0).normal(size=(2, 10)))
    assert_close(clipped_value_loss(value, target, value), value_loss(value, target))
    assert_close(gradient(clipped_value_loss, value, target, value), value - target)


def test_gradient_is_zero_where_the_clipped_distance_is_the_larger():
    # From 0 to ½ towards the target 1: V_clip = 0.2 is farther, and does not move with V.
    assert gradient(clipped_value_loss, *float32([0.5], [1.0], [0.0])) == 0
    # From 0 to ½ away from the target −1: the plain distance is the larger, gradient V − G = 1.5.
    assert_close(gradient(clipped_value_loss, *float32([0.5], [-1.0], [0.0])), [1.5])


def test_target_and_old_value_are_data():
    check_clipped_value_old_value_is_data(clipped_value_loss)


def test_gradient_points_to_the_target_at_a_wide_bound():
    value, target, old = float32(*np.random.default_rng(2).normal(size=(3, 10)))
    slope = gradient(lambda *args: clipped_value_loss(*args, epsilon=1e6), value, target, old)
    assert_close(slope, value - target)


def test_knob_may_be_swept():
    args = float32([0.5], [1.0], [0.0])
    swept = jax.vmap(lambda epsilon: clipped_value_loss(*args, epsilon=epsilon))(jnp.array([0.2, 1.0]))
    assert_close(swept, [[0.32], [0.125]])


def test_swept_knob_does_not_change_the_type():
    half = jnp.ones(2, jnp.bfloat16)
    assert clipped_value_loss(half, half, half, epsilon=jnp.float32(0.2)).dtype == jnp.bfloat16
