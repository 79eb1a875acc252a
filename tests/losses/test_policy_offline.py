"""Weighted imitation, behaviour-regularised actors and group advantages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import losses
from faults import plant
from helpers import assert_close, float32, gradient

pytestmark = pytest.mark.slow


def test_advantage_weights_by_hand():
    log_prob, advantage = float32([-1.0, -2.0, -1.0], np.log([2.0, 0.5, 100.0]))
    # weights 2, ½, min(100, 20)
    assert_close(losses.awr_loss(log_prob, advantage), [2, 1, 20])
    # T = ½ squares them: 4, ¼, min(10⁴, 100)
    assert_close(losses.awr_loss(log_prob, advantage, temperature=0.5, max_weight=100.0), [4, 0.5, 100], rtol=1e-4)
    assert_close(gradient(losses.awr_loss, log_prob, advantage), [-2, -0.5, -20])


def test_hot_temperatures_clone_the_behaviour():
    log_prob, advantage = float32(*np.random.default_rng(0).normal(size=(2, 5)))
    assert_close(losses.awr_loss(log_prob, advantage, temperature=1e6), losses.behaviour_cloning_loss(log_prob))
    assert_close(losses.awac_loss(log_prob, advantage, temperature=1e6), -log_prob.mean())


def test_softmax_weights_do_not_feel_a_shift_of_the_advantage():
    log_prob, advantage = float32(*np.random.default_rng(1).normal(size=(2, 6)))
    expected = -np.sum(jax.nn.softmax(advantage / 0.5) * log_prob)
    assert_close(losses.awac_loss(log_prob, advantage, temperature=0.5), expected)
    assert_close(losses.awac_loss(log_prob, advantage + 1e3, temperature=0.5), expected, rtol=1e-3)


def test_regression_imitates_what_is_approved():
    log_prob, advantage = float32([-1.0, -2.0, -np.inf, -1.0], [0.1, 9.0, -1.0, np.nan])
    np.testing.assert_array_equal(losses.crr_loss(log_prob, advantage), [1, 2, 0, np.nan])
    assert_close(gradient(losses.crr_loss, log_prob[:3], advantage[:3]), [-1, -1, 0])


def check_td3_bc(td3_bc_loss):
    q, action, data = float32([1.0, -3.0], [[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]])
    # mean |q| = 2, λ = 1.25: 1.25 · 1 + ½ (½ + 2)
    assert_close(jax.jit(td3_bc_loss)(q, action, data), 1.25 + 1.25)
    slopes = jax.jit(jax.grad(td3_bc_loss, (0, 1, 2)))(q, action, data)
    # λ is data: −λ / 2 each; 2 (a − d) / 2 / 2.
    for slope, expected in zip(slopes, ([-0.625, -0.625], [[0.5, 0], [0, 1]], np.zeros((2, 2))), strict=True):
        assert_close(slope, expected)


def test_td3_bc_by_hand():
    check_td3_bc(losses.td3_bc_loss)


def test_scale_of_the_values_does_not_matter():
    rng = np.random.default_rng(2)
    q, action, data = float32(rng.normal(size=5), *rng.normal(size=(2, 5, 2)))
    for function in (losses.td3_bc_loss, lambda *args: losses.rebrac_actor_loss(*args, beta=0.5)):
        assert_close(function(1e3 * q, action, data), function(q, action, data))


def test_rebrac_by_hand():
    q, action, data = float32([1.0, -3.0], [[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]])
    # 1 / mean |q| = ½: ½ · 1 + 0.1 · ½ (1 + 4)
    assert_close(losses.rebrac_actor_loss(q, action, data, beta=0.1), 0.75)
    slopes = gradient(lambda *args: losses.rebrac_actor_loss(*args, beta=0.1), q, action, data, argnums=(0, 1, 2))
    # The scale is data: −½ / 2 each; 0.1 · 2 (a − d) / 2.
    for slope, expected in zip(slopes, ([-0.25, -0.25], [[0.1, 0], [0, 0.2]], np.zeros((2, 2))), strict=True):
        assert_close(slope, expected)
    args = float32([0.5, 0.5], [1.0, 1.0], [0.5, 0.0], [4.0, np.inf], [[1.0, 0.0], [np.nan, 0.0]], [[0.0, 0.0]] * 2)
    # 1 + ½ (4 − 2 · 1) − ½; terminal: 1 − ½
    assert_close(losses.rebrac_critic_error(*args, beta=2.0), [1.5, 0.5])


def test_group_advantages_by_hand():
    reward = jnp.array([[0.0, 1.0, 1.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    # mean 1, variance ½
    expected = np.array([[-1, 0, 0, 1], [0, 0, 0, 0]])
    assert_close(losses.group_advantage(reward), expected / (np.sqrt(0.5) + 1e-4))
    assert_close(losses.group_advantage(reward, scale=False), expected)
    # 0 − 4/3, 1 − 1, 1 − 1, 2 − 2/3
    assert_close(losses.leave_one_out_advantage(reward), [[-4 / 3, 0, 0, 4 / 3], [0, 0, 0, 0]])


@pytest.mark.parametrize(("size", "reward"), [(64, 1000.1), (7, 12345.678), (3, 0.1)])
def test_equal_rewards_have_no_advantage_at_all(size, reward):
    rewards = jnp.full(size, reward)
    for found in (losses.group_advantage(rewards), losses.leave_one_out_advantage(rewards)):
        np.testing.assert_array_equal(found, np.zeros(size))


def test_leave_one_out_is_a_multiple_of_the_centred_reward():
    reward = jnp.asarray(np.random.default_rng(5).normal(size=(3, 8)), jnp.float32)
    expected = losses.group_advantage(reward, scale=False) * 8 / 7
    assert_close(losses.leave_one_out_advantage(reward), expected)


def test_group_advantages_do_not_feel_a_shift_and_keep_their_digits():
    reward = jnp.asarray(np.random.default_rng(6).integers(0, 2, (3, 8)), jnp.float32)
    assert_close(losses.group_advantage(reward + 1024), losses.group_advantage(reward))


def test_the_check_sees_a_scale_that_learns():
    faulty = plant(
        "bellmax.losses._behaviour_regularised", "td3_bc_loss", "jnp.abs(jax.lax.stop_gradient(q))", "jnp.abs(q)"
    )
    with pytest.raises(AssertionError):
        check_td3_bc(faulty)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.awr_loss(x, x, temperature=0.0), "awr_loss: temperature must be positive; got 0.0"),
        (lambda x: losses.awr_loss(x, x, max_weight=0.0), "awr_loss: max_weight must be positive"),
        (lambda x: losses.awac_loss(x, x, temperature=-1.0), "awac_loss: temperature must be positive"),
        (
            lambda x: losses.td3_bc_loss(x, x[:, None], x[:, None], alpha=-1.0),
            "td3_bc_loss: alpha must not be negative",
        ),
        (lambda x: losses.rebrac_actor_loss(x, x[:, None], x[:, None], beta=-1.0), "rebrac_actor_loss: beta must not"),
        (
            lambda x: losses.rebrac_critic_error(x, x, x, x, x[:, None], x[:, None], beta=-1.0),
            "rebrac_critic_error: beta must not be negative",
        ),
        (lambda x: losses.group_advantage(x, epsilon=0.0), "group_advantage: epsilon must be positive"),
        (lambda x: losses.leave_one_out_advantage(x[:1]), "a group needs at least two members; got 1"),
    ],
)
def test_knobs_outside_their_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros(2))
