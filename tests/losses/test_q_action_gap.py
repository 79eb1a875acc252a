import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import losses
from helpers import action_values, as_q_arguments, assert_close, gradient, lenient

pytestmark = pytest.mark.slow

# Compiled at once: a test of many small operations would compile each of them.
advantage_learning_error = jax.jit(losses.advantage_learning_error)
munchausen_q_learning_error = jax.jit(losses.munchausen_q_learning_error)
persistent_advantage_learning_error = jax.jit(losses.persistent_advantage_learning_error)
persistent_q_learning_error = jax.jit(losses.persistent_q_learning_error)
q_learning_error = jax.jit(losses.q_learning_error, static_argnames="transform")
soft_q_learning_error = jax.jit(losses.soft_q_learning_error, static_argnames="transform")

_GAPS = (advantage_learning_error, persistent_advantage_learning_error)


def test_by_hand():
    q, next_q, target_q = jnp.array([1.0, 2.0]), jnp.array([4.0, 6.0]), jnp.array([2.0, 5.0])
    start = (q, 0, 1.0, 0.5, next_q)
    # Best 6, repeated 4: 1 + ½(¾·6 + ¼·4) − 1 = 2.75
    assert_close(persistent_q_learning_error(*start, beta=0.25), 2.75)
    # Gap now 5 − 2 = 3, gap next 6 − 4 = 2: 1 + ½·6 − ¼·3 − 1 = 2.25, and 1 + 3 − ¼·2 − 1 = 2.5
    assert_close(advantage_learning_error(*start, target_q, beta=0.25), 2.25)
    assert_close(persistent_advantage_learning_error(*start, target_q, beta=0.25), 2.5)
    # At an end: 1 − ¼·3 − 1 = −0.75; the terminal state has no gap: 1 − 1 = 0
    end = (q, 0, 1.0, 0.0, next_q)
    assert_close(advantage_learning_error(*end, target_q, beta=0.25), -0.75)
    assert_close(persistent_advantage_learning_error(*end, target_q, beta=0.25), 0)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_persistent_equals_rlax(beta):
    arguments = as_q_arguments(*action_values(6)[:5])
    with lenient():
        expected = jax.vmap(rlax.persistent_q_learning, (0, 0, 0, 0, 0, None))(*arguments, beta)
    assert_close(persistent_q_learning_error(*arguments, beta=beta), expected, rtol=1e-6, atol=1e-6)


def test_masked_terminal_is_erased_and_a_weight_of_zero_too():
    q, masked = jnp.array([1.0, 2.0]), jnp.full(2, -jnp.inf)
    assert_close(persistent_q_learning_error(q, 0, 1.0, 0.0, masked, beta=0.3), 0)
    with lenient():
        zero = jnp.zeros((), jnp.int32)
        assert np.isnan(rlax.persistent_q_learning(q, zero, jnp.ones(()), jnp.zeros(()), masked, 0.3))
    # Without persistence it does not matter that the same action is masked next.
    partly = jnp.array([-jnp.inf, 3.0])
    assert_close(persistent_q_learning_error(q, 0, 1.0, 1.0, partly, beta=0.0), 3)
    for function in _GAPS:
        assert_close(function(q, 0, 1.0, 0.0, masked, q, beta=0.0), 0)


def test_order_of_the_operators():
    q, action, reward, discount, next_q, target_q = as_q_arguments(*action_values(8, batch=50))
    start = (q, action, reward, discount, next_q)
    plain = q_learning_error(*start)
    advantage, persistent = (function(*start, target_q, beta=0.4) for function in _GAPS)
    assert (advantage <= persistent).all()
    assert (persistent <= plain).all()
    best = jnp.argmax(target_q, axis=-1)
    greedy = (q, best.astype(jnp.int32), *start[2:])
    for function in _GAPS:
        assert_close(function(*start, target_q, beta=0.0), plain, rtol=0, atol=0)
        # The best action loses nothing.
        assert_close(function(*greedy, target_q, beta=0.9), q_learning_error(*greedy), rtol=0, atol=0)


def test_a_smaller_value_of_the_worse_action_is_the_fixed_point():
    # One state, two actions, rewards 1 and 0, γ = ½: V = 2, Q(b) = 1. Under advantage learning
    # Q(b) = ½·2 − β(2 − Q(b)), so Q(b) = (1 − 2β)/(1 − β) = −1 at β = ⅔: the gap 1 becomes 1/(1 − β) = 3.
    q = jnp.zeros((2, 2))
    action, reward, half = jnp.array([0, 1]), jnp.array([1.0, 0.0]), jnp.full(2, 0.5)

    def sweep(_, q):
        error = advantage_learning_error(q, action, reward, half, q, q, beta=2 / 3)
        return q + jnp.broadcast_to(error, (2, 2))

    assert_close(jax.lax.fori_loop(0, 200, sweep, q), [[2, -1], [2, -1]], rtol=1e-4, atol=1e-4)


def test_munchausen_by_hand():
    q, target_q, next_q = jnp.array([1.0, 2.0]), jnp.array([0.0, np.log(3.0)]), jnp.array([2.0, 2.0])
    # π(0) = ¼: τ log π = −ln 4 = −1.386, floored at −1; V' = 2 + ln 2; 1 − 0.9 + ½(2 + ln 2) − 1
    error = munchausen_q_learning_error(q, 0, 1.0, 0.5, next_q, target_q, tau=1.0)
    assert_close(error, 0.1 + np.log(2) / 2)
    # Without the floor: 1 − 0.9 ln 4 + ½(2 + ln 2) − 1
    error = munchausen_q_learning_error(q, 0, 1.0, 0.5, next_q, target_q, tau=1.0, log_policy_floor=-100.0)
    assert_close(error, 1 - 0.9 * np.log(4) + np.log(2) / 2)


def test_munchausen_without_its_bonus_is_soft_q_learning():
    q, action, reward, discount, next_q, target_q = as_q_arguments(*action_values(2))
    found = munchausen_q_learning_error(q, action, reward, discount, next_q, target_q, tau=0.3, alpha=0.0)
    assert_close(found, soft_q_learning_error(q, action, reward, discount, next_q, tau=0.3), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tau", [1e-6, 1e-2, 1.0, 1e2, 1e6])
def test_munchausen_equals_float64_at_any_temperature(tau):
    q, action, reward, discount, next_q, target_q = action_values(5)
    found = munchausen_q_learning_error(*as_q_arguments(q, action, reward, discount, next_q, target_q), tau=tau)

    def soft(values):
        top = values.max(-1, keepdims=True)
        return (top + tau * np.log(np.exp((values - top) / tau).sum(-1, keepdims=True)))[..., 0]

    taken = np.arange(len(action)), action
    bonus = np.clip(target_q[taken] - soft(target_q), -1, 0)
    expected = reward + 0.9 * bonus + discount * soft(next_q) - q[taken]
    assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_munchausen_with_masked_actions():
    q, masked = jnp.array([1.0, 2.0]), jnp.array([-jnp.inf, 3.0])
    # The only legal action is certain: no bonus, and no entropy.
    assert_close(munchausen_q_learning_error(q, 1, 1.0, 0.5, masked, masked), 1 + 1.5 - 2)
    end = jnp.full(2, -jnp.inf)
    arguments = (q, jnp.array(1), jnp.ones(()), jnp.zeros(()), end, masked)
    assert_close(munchausen_q_learning_error(*arguments), -1)
    assert_close(gradient(munchausen_q_learning_error, *arguments), [0, -1])
    # The masked one itself is floored.
    assert_close(munchausen_q_learning_error(q, 0, 1.0, 0.0, end, masked), 1 - 0.9 - 1)


def test_unknown_actions_and_nan_stay_visible():
    q = jnp.array([1.0, 2.0])
    poisoned = jnp.array([jnp.nan, 2.0])
    assert np.isnan(munchausen_q_learning_error(q, 1, 1.0, 1.0, q, poisoned))
    assert np.isnan(persistent_q_learning_error(q, 2, 1.0, 1.0, q, beta=0.5))
    for function in _GAPS:
        assert np.isnan(function(q, 1, 1.0, 1.0, q, poisoned, beta=0.5))
        assert np.isnan(function(q, -1, 1.0, 1.0, q, q, beta=0.5))


@pytest.mark.parametrize("beta", [-0.1, 1.1, np.nan])
def test_knobs_out_of_range_are_refused(beta):
    q = jnp.array([1.0, 2.0])
    with pytest.raises(ValueError, match=r"persistent_q_learning_error: beta must be in \[0, 1\]"):
        losses.persistent_q_learning_error(q, 0, 1.0, 1.0, q, beta=beta)
    for function in _GAPS:
        with pytest.raises(ValueError, match=rf"{function.__name__}: beta must be in \[0, 1\]"):
            getattr(losses, function.__name__)(q, 0, 1.0, 1.0, q, q, beta=beta)
    with pytest.raises(ValueError, match=r"munchausen_q_learning_error: alpha must be in \[0, 1\]"):
        losses.munchausen_q_learning_error(q, 0, 1.0, 1.0, q, q, alpha=beta)


def test_half_precision_keeps_small_gaps_of_large_values():
    """Offsets of 100, where bfloat16 is half a unit wide: what cancels in float32 cancels here."""
    rng = np.random.default_rng(4)
    q, next_q, target_q = jnp.asarray(100 + rng.normal(0, 2, (3, 20, 4)), jnp.bfloat16)
    action = jnp.asarray(rng.integers(0, 4, 20), jnp.int32)
    reward, discount = jnp.asarray(rng.normal(size=20), jnp.bfloat16), jnp.full(20, 0.5, jnp.bfloat16)

    @jax.jit
    def both(q, reward, discount, next_q, target_q):
        munchausen = losses.munchausen_q_learning_error(q, action, reward, discount, next_q, target_q, tau=1.0)
        return munchausen, losses.cql_loss(q, action)

    arguments = (q, reward, discount, next_q, target_q)
    wide = both(*(x.astype(jnp.float32) for x in arguments))
    for one, other in zip(both(*arguments), wide, strict=True):
        assert one.dtype == jnp.bfloat16
        np.testing.assert_array_equal(one, other.astype(jnp.bfloat16))
    # log Σ e^q − q of one action, in float64.
    exact = np.asarray(q, np.float64)
    total = exact.max(-1) + np.log(np.exp(exact - exact.max(-1, keepdims=True)).sum(-1))
    assert_close(both(*arguments)[1], total - exact[np.arange(20), action], rtol=2**-8)


def test_munchausen_refuses_a_cold_or_positive_floor():
    q = jnp.array([1.0, 2.0])
    with pytest.raises(ValueError, match="munchausen_q_learning_error: tau must be positive"):
        losses.munchausen_q_learning_error(q, 0, 1.0, 1.0, q, q, tau=0.0)
    with pytest.raises(ValueError, match="log_policy_floor must not be positive"):
        losses.munchausen_q_learning_error(q, 0, 1.0, 1.0, q, q, log_policy_floor=0.1)


def test_knobs_may_be_swept_and_do_not_change_the_type():
    q = jnp.array([1.0, 2.0])
    swept = jax.vmap(lambda beta: advantage_learning_error(q, 0, 1.0, 0.0, q, q, beta=beta))(jnp.array([0.0, 0.5]))
    assert_close(swept, [0, -0.5])
    half = q.astype(jnp.bfloat16)
    one = jnp.ones((), jnp.bfloat16)
    assert advantage_learning_error(half, 0, one, one, half, half, beta=jnp.float32(0.1)).dtype == jnp.bfloat16
