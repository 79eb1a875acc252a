"""Weighted imitation, behaviour-regularised actors and group advantages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import losses
from faults import plant
from helpers import assert_close, float32, gradient


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
    found = losses.crr_loss(log_prob[:2], advantage[:2], kind="exp", temperature=2.0)
    assert_close(found, losses.awr_loss(log_prob[:2], advantage[:2], temperature=2.0))


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
    args = float32([0.5, 0.5], [1.0, 1.0], [0.5, 0.0], [4.0, np.inf], [[1.0, 0.0], [np.nan, 0.0]], [[0.0, 0.0]] * 2)
    # 1 + ½ (4 − 2 · 1) − ½; terminal: 1 − ½
    assert_close(losses.rebrac_critic_error(*args, beta=2.0), [1.5, 0.5])


def check_td3_bc_across_devices(td3_bc_loss):
    rng = np.random.default_rng(3)
    q, action, data = float32(rng.normal(size=12), *rng.normal(size=(2, 12, 2)))
    mask = jnp.array([1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1], bool)

    def loss(shift, q, action, data, mask, axis_name):
        return td3_bc_loss(q + shift * jnp.cos(q), action + shift, data, mask=mask, axis_name=axis_name)

    def local(*args):
        return jax.lax.pmean(jax.value_and_grad(loss)(0.0, *args, "devices"), "devices")

    whole = jax.jit(lambda *args: jax.value_and_grad(loss)(0.0, *args, None))(q, action, data, mask)
    spread = jax.jit(jax.vmap(local, axis_name="devices"))(
        *(x.reshape(3, 4, *x.shape[1:]) for x in (q, action, data, mask))
    )
    for one, other in zip(spread, whole, strict=True):
        assert_close(one, np.full(3, other))


def test_td3_bc_across_devices():
    check_td3_bc_across_devices(losses.td3_bc_loss)


def check_awac_across_devices(awac_loss):
    log_prob, advantage = float32(*np.random.default_rng(4).normal(size=(2, 12)))
    advantage = advantage.at[0].add(50.0)
    mask = jnp.array([1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1], bool)
    spread = jax.vmap(lambda *args: awac_loss(*args[:2], mask=args[2], axis_name="devices"), axis_name="devices")(
        *(x.reshape(3, 4) for x in (log_prob, advantage, mask))
    )
    assert_close(spread.mean(), awac_loss(log_prob, advantage, mask=mask))


def test_awac_across_devices():
    check_awac_across_devices(losses.awac_loss)


def check_weights_across_devices(exponential_weights):
    scaled = jnp.array([[0.0, 200.0], [1.0, -5.0]])
    weights, largest = jax.vmap(lambda x: exponential_weights(x, jnp.ones(2), "devices"), axis_name="devices")(scaled)
    assert_close(largest, [200, 200])
    assert_close(weights, [[0, 1], [0, 0]])


def test_weights_share_one_largest():
    from bellmax.losses._weights import exponential_weights

    check_weights_across_devices(exponential_weights)


def test_group_advantages_by_hand():
    reward = jnp.array([[0.0, 1.0, 1.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    # mean 1, variance ½
    expected = np.array([[-1, 0, 0, 1], [0, 0, 0, 0]])
    assert_close(losses.group_advantage(reward), expected / (np.sqrt(0.5) + 1e-4))
    assert_close(losses.group_advantage(reward, scale=False), expected)
    # 0 − 4/3, 1 − 1, 1 − 1, 2 − 2/3
    assert_close(losses.leave_one_out_advantage(reward), [[-4 / 3, 0, 0, 4 / 3], [0, 0, 0, 0]])


def test_leave_one_out_is_a_multiple_of_the_centred_reward():
    reward = jnp.asarray(np.random.default_rng(5).normal(size=(3, 8)), jnp.float32)
    expected = losses.group_advantage(reward, scale=False) * 8 / 7
    assert_close(losses.leave_one_out_advantage(reward), expected)


def test_group_advantages_do_not_feel_a_shift_and_keep_their_digits():
    reward = jnp.asarray(np.random.default_rng(6).integers(0, 2, (3, 8)), jnp.float32)
    assert_close(losses.group_advantage(reward + 1024), losses.group_advantage(reward))


@pytest.mark.parametrize(
    ("module", "name", "old", "new", "check"),
    [
        ("_behaviour_regularised", "td3_bc_loss", "jax.lax.stop_gradient(q))), mask", "q)), mask", check_td3_bc),
        (
            "_behaviour_regularised",
            "td3_bc_loss",
            "pmean(masked_mean(jnp.abs(at_least_float32(jax.lax.stop_gradient(q))), mask, axis_name), axis_name)",
            "masked_mean(jnp.abs(at_least_float32(jax.lax.stop_gradient(q))), mask)",
            check_td3_bc_across_devices,
        ),
        (
            "_offline",
            "awac_loss",
            "-masked_mean(log_prob, weight, axis_name)",
            "-masked_mean(log_prob, weight)",
            check_awac_across_devices,
        ),
        ("_offline", "awac_loss", "mask, axis_name)", "mask, None)", check_awac_across_devices),
        (
            "_weights",
            "exponential_weights",
            "jax.lax.pmax(largest, axis_name)",
            "largest",
            check_weights_across_devices,
        ),
    ],
)
def test_the_checks_see_faults(module, name, old, new, check):
    faulty = plant(f"bellmax.losses.{module}", name, old, new)
    with pytest.raises(AssertionError):
        check(faulty)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.awr_loss(x, x, temperature=0.0), "awr_loss: temperature must be positive; got 0.0"),
        (lambda x: losses.awr_loss(x, x, max_weight=0.0), "awr_loss: max_weight must be positive"),
        (lambda x: losses.awac_loss(x, x, temperature=-1.0), "awac_loss: temperature must be positive"),
        (lambda x: losses.crr_loss(x, x, kind="soft"), 'crr_loss: kind must be "binary" or "exp"; got \'soft\''),
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
