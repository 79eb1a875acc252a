import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax

from bellmax.losses import ppo_clip_loss
from helpers import (
    assert_close,
    check_ppo_advantage_is_data,
    check_ppo_finite_far_away,
    check_ppo_gradient_sides,
    check_ppo_loop,
    float32,
    gradient,
    lenient,
    ppo_loop,
)

_jitted = jax.jit(ppo_clip_loss)


def test_by_hand():
    log_ratio, advantage = float32(np.log([1.0, 2.0, 2.0, 0.5, 0.5]), [1, 1, -1, 1, -1])
    # −min(1, 1) = −1; −min(2, 1.2) = −1.2; −min(−2, −1.2) = 2; −min(.5, .8) = −.5; −min(−.5, −.8) = .8
    assert_close(ppo_clip_loss(log_ratio, advantage, epsilon=0.2), [-1, -1.2, 2, -0.5, 0.8])


def test_equals_the_loop():
    check_ppo_loop(ppo_clip_loss)


@hypothesis.given(
    hnp.arrays(np.float32, 8, elements=st.floats(-3, 3, width=32)),
    hnp.arrays(np.float32, 8, elements=st.floats(-10, 10, width=32)),
    st.floats(0.05, 0.9),
)
def test_equals_the_loop_on_any_input(log_ratio, advantage, epsilon):
    actual = _jitted(log_ratio, advantage, epsilon=epsilon)
    assert_close(actual, ppo_loop(log_ratio, advantage, epsilon), rtol=1e-4, atol=1e-4)


def test_where_the_policies_agree_loss_and_gradient_are_minus_the_advantage():
    advantage = float32([1.5, -2.0, 0.0])[0]
    assert_close(ppo_clip_loss(jnp.zeros(3), advantage), -advantage)
    assert_close(gradient(ppo_clip_loss, jnp.zeros(3), advantage), -advantage)


def test_gradient_is_zero_past_the_bound_on_the_side_that_the_advantage_favours():
    check_ppo_gradient_sides(ppo_clip_loss)


def test_is_never_below_the_unclipped_surrogate():
    log_ratio, advantage = float32(*np.random.default_rng(0).normal(size=(2, 100)))
    assert (ppo_clip_loss(log_ratio, advantage) >= -jnp.exp(log_ratio) * advantage - 1e-6).all()


def test_loss_and_gradient_are_finite_far_away():
    check_ppo_finite_far_away(ppo_clip_loss)


def test_the_advantage_is_data():
    check_ppo_advantage_is_data(ppo_clip_loss)


def test_nan_stays_visible():
    loss = ppo_clip_loss(*float32([np.nan, 0.0], [1.0, np.nan]))
    assert np.isnan(loss).all()


def test_knob_may_be_swept():
    log_ratio, advantage = float32([0.5, -0.5], [1.0, -1.0])
    swept = jax.vmap(lambda epsilon: ppo_clip_loss(log_ratio, advantage, epsilon=epsilon))(jnp.array([0.1, 0.3]))
    assert_close(swept, [[-1.1, 0.9], [-1.3, 0.7]])


def test_swept_knob_does_not_change_the_type():
    log_ratio = advantage = jnp.ones(2, jnp.bfloat16)
    assert ppo_clip_loss(log_ratio, advantage, epsilon=jnp.float32(0.2)).dtype == jnp.bfloat16


def test_mean_equals_rlax():
    log_ratio, advantage = float32(*np.random.default_rng(1).normal(size=(2, 20)))
    with lenient():
        expected = rlax.clipped_surrogate_pg_loss(jnp.exp(log_ratio), advantage, 0.2)
    assert_close(ppo_clip_loss(log_ratio, advantage).mean(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("advantage", [np.ones((3, 1)), np.ones(2), np.ones(())])
def test_wrong_shapes_are_refused_by_name(advantage):
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)ppo_clip_loss.*advantage"):
        ppo_clip_loss(jnp.zeros(3), advantage)
