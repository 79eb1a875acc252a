import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from bellmax import losses
from helpers import action_values, as_q_arguments, assert_close, float32, gradient, softmax

pytestmark = pytest.mark.slow

# Compiled at once: a test of many small operations would compile each of them.
discrete_soft_value = jax.jit(losses.discrete_soft_value)
ensemble_min = jax.jit(losses.ensemble_min)
mellowmax = jax.jit(losses.mellowmax)
mellowmax_q_learning_error = jax.jit(losses.mellowmax_q_learning_error)
qv_learning_error = jax.jit(losses.qv_learning_error)
sac_critic_error = jax.jit(losses.sac_critic_error)
soft_maximum = jax.jit(losses.soft_maximum)
soft_value = jax.jit(losses.soft_value)
clipped_double_q_learning_error = jax.jit(losses.clipped_double_q_learning_error, static_argnames="transform")
q_learning_error = jax.jit(losses.q_learning_error, static_argnames="transform")
soft_q_learning_error = jax.jit(losses.soft_q_learning_error, static_argnames="transform")

_SCALES = [1e-6, 1e-3, 1.0, 1e3, 1e6]
_Q = np.random.default_rng(0).normal(size=(20, 5)) * np.repeat([0.1, 1.0, 10.0, 1000.0], 5)[:, None]


def _soft(q, tau):
    return tau * logsumexp(np.asarray(q, np.float64) / tau, axis=-1)


def _mellow(q, omega):
    """In float64 with the mean taken off, so that a small ω is exact too."""
    q = np.asarray(q, np.float64)
    mean = q.mean(-1, keepdims=True)
    return mean[..., 0] + _soft(q - mean, 1 / omega) - np.log(q.shape[-1]) / omega


def test_soft_maximum_by_hand():
    # ln(e + 3e) = 1 + ln 4, and twice that of halves.
    assert_close(soft_maximum(jnp.array([1.0, 1 + np.log(3)]), 1.0), 1 + np.log(4))
    assert_close(soft_maximum(jnp.array([2.0, 2 + 2 * np.log(3)]), 2.0), 2 + 2 * np.log(4))


@pytest.mark.parametrize("tau", _SCALES)
def test_soft_maximum_equals_float64_and_its_gradient_is_the_softmax(tau):
    q = _Q.astype(np.float32)
    found = jax.jit(soft_maximum)(q, tau)
    assert_close(found, _soft(q, tau), rtol=2e-6, atol=1e-6)
    slope = gradient(lambda q: soft_maximum(q, tau), jnp.asarray(q))
    assert_close(slope, softmax(q.astype(np.float64) / tau), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("omega", [*_SCALES, 1e-9])
def test_mellowmax_equals_float64_and_lies_between_mean_and_maximum(omega):
    q = _Q.astype(np.float32)
    found = np.asarray(jax.jit(mellowmax)(q, omega))
    if omega > 1e-8:
        size = abs(q).max(-1)
        assert (abs(found - _mellow(q, omega)) <= 1e-6 * size).all()
    assert (found <= q.max(-1)).all()
    assert (found >= q.mean(-1) - 1e-6 * abs(q).max(-1)).all()
    slope = gradient(lambda q: mellowmax(q, omega), jnp.asarray(q))
    assert_close(slope, softmax(q.astype(np.float64) * omega), rtol=2e-3, atol=1e-6)


def test_mellowmax_of_many_actions():
    # One action stands out of 1000: −ln 1000 + ln(1 + 999 e^−20), far from where log1p would lose its digits.
    q = np.zeros(1000) - 20
    q[3] = 0
    assert_close(mellowmax(q, 1.0), np.log(1 + 999 * np.exp(-20.0)) - np.log(1000), rtol=1e-6, atol=1e-6)


def test_mellowmax_is_a_non_expansion():
    a, b = np.random.default_rng(1).normal(size=(2, 200, 4)) * 5
    apart = abs(np.asarray(mellowmax(a, 2.0)) - np.asarray(mellowmax(b, 2.0)))
    assert (apart <= abs(a - b).max(-1) * (1 + 1e-5)).all()


@pytest.mark.parametrize("operator", [soft_maximum, mellowmax])
@pytest.mark.parametrize("knob", [1e-6, 1.0, 1e6])
def test_masked_actions_do_not_count(operator, knob):
    q = jnp.array([1.0, -jnp.inf, 3.0, -jnp.inf])
    assert_close(operator(q, knob), operator(q[::2], knob), rtol=1e-6)
    slope = gradient(lambda q: operator(q, knob), q)
    assert_close(slope[::2], gradient(lambda q: operator(q, knob), q[::2]), rtol=1e-6)
    assert (np.asarray(slope)[1::2] == 0).all()
    nothing = jnp.full(3, -jnp.inf)
    assert operator(nothing, knob) == -jnp.inf
    assert (np.asarray(gradient(lambda q: operator(q, knob), nothing)) == 0).all()
    assert np.isnan(operator(jnp.array([1.0, jnp.nan]), knob))


@pytest.mark.parametrize("operator", [soft_maximum, mellowmax])
def test_an_infinite_value_is_the_maximum_and_nothing_has_no_slope(operator):
    for q in ([jnp.inf, 1.0], [jnp.inf, jnp.inf], [jnp.inf, -jnp.inf]):
        assert operator(jnp.array(q), 0.5) == jnp.inf
    assert np.isnan(operator(jnp.array([jnp.inf, jnp.nan]), 0.5))
    slopes = jax.jit(jax.grad(operator, (0, 1)))(jnp.full(3, -jnp.inf), 0.5)
    assert all((np.asarray(slope) == 0).all() for slope in slopes)


def test_knobs_below_the_floor_have_finite_limits_under_a_transform():
    q = jnp.array([1.0, 3.0, 3.0])
    for knob in (0.0, -1.0, 1e-30):
        value, slope = jax.jit(jax.value_and_grad(soft_maximum))(q, knob)
        assert_close(value, 3)
        assert_close(slope, [0, 0.5, 0.5])
        value, slope = jax.jit(jax.value_and_grad(mellowmax))(q, knob)
        assert_close(value, 7 / 3)
        assert_close(slope, np.full(3, 1 / 3))


def test_a_cold_soft_q_learning_is_q_learning():
    arguments = as_q_arguments(*action_values(1)[:5])
    assert_close(soft_q_learning_error(*arguments, tau=1e-6), q_learning_error(*arguments))
    assert_close(mellowmax_q_learning_error(*arguments, omega=1e6), q_learning_error(*arguments))


def test_soft_errors_by_hand():
    q, next_q = jnp.array([1.0, 2.0]), jnp.array([0.0, np.log(3.0)])
    # 1 + ½ ln 4 − 2, and 1 + ½ ln 2 − 2 for the mean weight
    assert_close(soft_q_learning_error(q, 1, 1.0, 0.5, next_q), -1 + np.log(2))
    assert_close(mellowmax_q_learning_error(q, 1, 1.0, 0.5, next_q, omega=1.0), -1 + np.log(2) / 2)


def test_masked_terminal_states_are_erased():
    q, masked = jnp.array([1.0, 2.0]), jnp.full(2, -jnp.inf)
    arguments = (q, jnp.array(1), jnp.ones(()), jnp.zeros(()), masked)
    for function in (soft_q_learning_error, lambda *x: mellowmax_q_learning_error(*x, omega=3.0)):
        assert_close(function(*arguments), -1)
        assert_close(gradient(function, *arguments), [0, -1])


def test_soft_value_by_hand():
    # 1 − ½·(−2) = 2
    assert_close(soft_value(1.0, -2.0, 0.5), 2)
    assert_close(soft_value(1.0, -jnp.inf, 0.0), 1)
    found = jax.grad(soft_value, (0, 1, 2))(*float32(1, -2, 0.5))
    assert_close(jnp.stack(found), [1, -0.5, 2])


def test_discrete_soft_value_is_the_mean_of_soft_values():
    rng = np.random.default_rng(2)
    q, logits = rng.normal(size=(2, 6, 3))
    probs = softmax(logits)
    each = np.asarray(soft_value(q, np.log(probs), 0.4))
    assert_close(discrete_soft_value(q, logits, 0.4), (probs * each).sum(-1))
    # Log-probabilities and shifted logits are the same logits.
    assert_close(discrete_soft_value(q, np.log(probs), 0.4), discrete_soft_value(q, logits + 50, 0.4))


@pytest.mark.parametrize("tau", [0.01, 1.0, 100.0])
def test_the_best_soft_value_is_the_soft_maximum(tau):
    q = np.random.default_rng(3).normal(size=(6, 3))
    best = discrete_soft_value(q, q / tau, tau)
    assert_close(best, soft_maximum(q, tau), rtol=1e-5)
    assert (best + 1e-5 >= discrete_soft_value(q, np.zeros((6, 3)), tau)).all()
    # There its gradient with respect to the logits vanishes.
    slope = jax.grad(lambda logits: discrete_soft_value(q, logits, tau).sum())(jnp.asarray(q / tau, jnp.float32))
    assert_close(slope / tau, np.zeros((6, 3)), atol=1e-5)


def test_discrete_soft_value_with_masks_and_certainties():
    q, logits = float32([[1, -np.inf, 3], [1, 2, 3]], [[0, -np.inf, 0], [0, -np.inf, -np.inf]])
    # Two actions alike: 2 + ln 2; a sure one: 1, without entropy.
    assert_close(discrete_soft_value(q, logits, 1.0), [2 + np.log(2), 1])
    for argnums in (0, 1):
        slope = jax.grad(lambda *x: discrete_soft_value(*x, 1.0).sum(), argnums)(q, logits)
        assert np.isfinite(slope).all()
        assert (np.asarray(slope)[np.isneginf(logits)] == 0).all()
    nothing = jnp.full((1, 2), -jnp.inf)
    assert discrete_soft_value(nothing, nothing, 1.0) == -jnp.inf
    assert (np.asarray(gradient(lambda x: discrete_soft_value(x, nothing, 1.0), nothing)) == 0).all()
    assert np.isnan(discrete_soft_value(jnp.ones(2), jnp.array([jnp.nan, 0.0]), 1.0))


def test_discrete_soft_actor_critic_keeps_policy_and_entropy():
    # The soft policy's value with its entropy, not the hard clipped one.
    q, next_q = jnp.zeros(2), jnp.array([[2.0, 4.0], [3.0, 1.0]])
    value = discrete_soft_value(ensemble_min(next_q), jnp.zeros(2), 0.5)
    soft = qv_learning_error(q, 0, 1.0, 1.0, value)
    assert_close(soft, 1 + (2 + 1) / 2 + 0.5 * np.log(2))
    assert_close(clipped_double_q_learning_error(q, 0, 1.0, 1.0, next_q), 1 + 2)


def test_sac_critic_by_hand():
    # 2 + ½(4 − ½·(−2)) − 1 = 3.5; at an end 2 − 1 = 1
    found = sac_critic_error(*float32([1, 1], [2, 2], [0.5, 0], [4, np.inf], [-2, np.nan]), 0.5)
    assert_close(found, [3.5, 1])


def test_critics_of_soft_actor_critic_by_vmap_share_a_target():
    rng = np.random.default_rng(5)
    q, next_q = (jnp.asarray(x, jnp.float32) for x in rng.normal(size=(2, 2, 4)))
    reward, log_prob = float32(*rng.normal(size=(2, 4)))
    discount = jnp.array([0.9, 0.0, 0.9, 0.5])
    alpha = jnp.array(0.2)
    least = ensemble_min(next_q)
    critics = jax.vmap(sac_critic_error, (0, None, None, None, None, None))
    errors = critics(q, reward, discount, least, log_prob, alpha)
    target = np.asarray(reward) + np.asarray(discount) * (np.asarray(next_q).min(0) - 0.2 * np.asarray(log_prob))
    assert_close(errors, target[None] - np.asarray(q))

    def loss(q, next_q, log_prob, alpha):
        errors = critics(q, reward, discount, ensemble_min(next_q), log_prob, alpha)
        return 0.5 * jnp.square(errors).sum(axis=0).mean()

    slopes = jax.grad(loss, (0, 1, 2, 3))(q, next_q, log_prob, alpha)
    assert_close(slopes[0], -errors / 4)
    assert all((np.asarray(slope) == 0).all() for slope in slopes[1:])


def test_log_probabilities_of_float32_beside_values_of_bfloat16():
    q = jnp.ones(3, jnp.bfloat16)
    log_prob = jnp.full(3, -2.0)
    assert soft_value(q, log_prob, jnp.float32(0.5)).dtype == jnp.bfloat16
    assert sac_critic_error(q, q, q, q, log_prob, 0.5).dtype == jnp.bfloat16
    assert discrete_soft_value(q, log_prob, 0.5).dtype == jnp.bfloat16
    assert soft_maximum(q, jnp.float32(0.5)).dtype == mellowmax(q, jnp.float32(0.5)).dtype == jnp.bfloat16


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_knobs_out_of_range_are_refused(value):
    q = jnp.array([1.0, 2.0])
    with pytest.raises(ValueError, match="soft_maximum: tau must be positive"):
        losses.soft_maximum(q, value)
    with pytest.raises(ValueError, match="mellowmax: omega must be positive"):
        losses.mellowmax(q, value)
    with pytest.raises(ValueError, match="soft_q_learning_error: tau must be positive"):
        losses.soft_q_learning_error(q, 0, 1.0, 1.0, q, tau=value)
    with pytest.raises(ValueError, match="mellowmax_q_learning_error: omega must be positive"):
        losses.mellowmax_q_learning_error(q, 0, 1.0, 1.0, q, omega=value)


def test_negative_temperatures_are_refused():
    with pytest.raises(ValueError, match="soft_value: alpha must not be negative"):
        losses.soft_value(1.0, 1.0, -0.1)
    with pytest.raises(ValueError, match="discrete_soft_value: alpha must not be negative"):
        losses.discrete_soft_value(jnp.ones(2), jnp.ones(2), -0.1)
    with pytest.raises(ValueError, match="sac_critic_error: alpha must not be negative"):
        losses.sac_critic_error(1.0, 1.0, 1.0, 1.0, 1.0, -0.1)


def test_temperatures_may_be_swept():
    q = jnp.array([1.0, 3.0])
    taus = jnp.array([1e-6, 1.0])
    assert_close(jax.vmap(lambda tau: soft_maximum(q, tau))(taus), [3, 3 + np.log1p(np.exp(-2))])
