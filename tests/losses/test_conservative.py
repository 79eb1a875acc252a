import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from scipy import stats

from bellmax import losses
from helpers import assert_close, float32, gradient, lenient, softmax

pytestmark = pytest.mark.slow

# Compiled at once: a test of many small operations would compile each of them.
cql_loss = jax.jit(losses.cql_loss)
expectile_loss = jax.jit(losses.expectile_loss)
sampled_cql_loss = jax.jit(losses.sampled_cql_loss)
soft_maximum = jax.jit(losses.soft_maximum)
value_loss = jax.jit(losses.value_loss)


def test_cql_by_hand():
    q = jnp.array([1.0, 1 + np.log(3)])
    # ln(e + 3e) = 1 + ln 4: minus 1, and minus 1 + ln 3
    assert_close(cql_loss(q, 0), np.log(4))
    assert_close(cql_loss(q, 1), np.log(4 / 3))


def test_cql_is_a_cross_entropy_that_lowers_all_but_the_data():
    rng = np.random.default_rng(0)
    q, action = rng.normal(size=(8, 4)), rng.integers(0, 4, 8).astype(np.int32)
    probs = softmax(q / 0.5)
    assert_close(cql_loss(q, action, tau=0.5), -0.5 * np.log(probs[np.arange(8), action]))
    slope = gradient(lambda q: cql_loss(q, action, tau=0.5), *float32(q))
    assert_close(slope, probs - np.eye(4)[action])


@pytest.mark.parametrize("tau", [1e-6, 1.0, 1e6])
def test_cql_is_never_negative_and_skips_masked_actions(tau):
    q = jnp.array([[5.0, -jnp.inf, 1.0], [5.0, 5.0, 5.0]])
    action = jnp.array([2, 1])
    assert (cql_loss(q, action, tau=tau) >= 0).all()
    assert_close(cql_loss(q[:1], action[:1], tau=tau), cql_loss(q[:1, ::2], jnp.array([1]), tau=tau), rtol=1e-6)
    assert np.isfinite(gradient(lambda q: cql_loss(q, action, tau=tau), q)).all()
    assert np.isnan(cql_loss(q, jnp.array([3, -1]), tau=tau)).all()


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_sampling_every_action_once_is_the_exact_penalty(tau):
    # Density 1/n and one sample each: τ log (1/n) Σ n e^{q/τ}.
    q = np.random.default_rng(1).normal(size=(6, 4))
    log_density = np.full((4, 6), -np.log(4))
    action = np.zeros(6, np.int32)
    assert_close(sampled_cql_loss(q.T, log_density, q[:, 0], tau=tau), cql_loss(q, action, tau=tau))


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_samples_of_several_proposals_estimate_the_integral(tau):
    # Q(a) = −a² on [−1, 1], from a uniform and a Gaussian that leaves it, where there is nothing to earn.
    rng = np.random.default_rng(2)
    grid = (np.arange(20_000) + 0.5) / 10_000 - 1
    integral = tau * np.log(np.mean(np.exp(-(grid**2) / tau)) * 2)
    uniform, normal = rng.uniform(-1, 1, 50_000), rng.normal(0, 0.7, 50_000)
    actions = np.concatenate([uniform, normal])
    q = np.where(abs(actions) <= 1, -(actions**2), -np.inf)
    log_density = np.concatenate([np.full(50_000, np.log(0.5)), stats.norm.logpdf(normal, 0, 0.7)])
    found = sampled_cql_loss(q, log_density, 0.0, tau=tau)
    assert_close(found, integral, rtol=0, atol=0.01)


def test_gradients_of_the_sampled_penalty():
    rng = np.random.default_rng(3)
    q, log_density = rng.normal(size=(2, 5))
    slopes = jax.grad(lambda *x: sampled_cql_loss(*x, tau=0.5), (0, 1, 2))(*float32(q, log_density, 1.0))
    assert_close(slopes[0], softmax(q / 0.5 - log_density))
    assert (np.asarray(slopes[1]) == 0).all()
    assert_close(slopes[2], -1)


def test_expectile_by_hand():
    # u = 2: 0.7·4; u = −2: 0.3·4; u = 0: 0. Gradients −2·0.7·2 and 2·0.3·2.
    prediction, target = float32([1, 3, 1], [3, 1, 1])
    assert_close(expectile_loss(prediction, target), [2.8, 1.2, 0])
    assert_close(gradient(expectile_loss, prediction, target), [-2.8, 1.2, 0])
    assert (np.asarray(gradient(expectile_loss, prediction, target, argnums=1)) == 0).all()


@pytest.mark.parametrize("expectile", [0.1, 0.5, 0.9])
def test_expectile_equals_rlax_and_at_a_half_the_value_loss(expectile):
    prediction, target = float32(*np.random.default_rng(4).normal(size=(2, 20)))
    target = target.at[0].set(prediction[0])
    with lenient():
        expected = rlax.expectile_loss(prediction, target, expectile)
    assert_close(expectile_loss(prediction, target, expectile=expectile), expected, rtol=1e-6, atol=1e-6)
    if expectile == 0.5:
        assert_close(expected, value_loss(prediction, target), rtol=1e-6, atol=1e-6)


def test_the_expectile_of_a_sample_has_no_gradient():
    targets = jnp.asarray(np.random.default_rng(5).normal(size=1001), jnp.float32)
    for tau in (0.1, 0.5, 0.9):
        level = jnp.float32(stats.expectile(np.asarray(targets, np.float64), tau))
        slope = jax.grad(lambda v, tau=tau: expectile_loss(jnp.full(1001, v), targets, expectile=tau).mean())(level)
        assert_close(slope, 0)


def test_knobs_out_of_range_are_refused():
    one = jnp.ones(2)
    for value in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="expectile must be between 0 and 1"):
            losses.expectile_loss(one, one, expectile=value)
    for value in (0.0, -1.0):
        with pytest.raises(ValueError, match="cql_loss: tau must be positive"):
            losses.cql_loss(one, 0, tau=value)
        with pytest.raises(ValueError, match="sampled_cql_loss: tau must be positive"):
            losses.sampled_cql_loss(one, one, 1.0, tau=value)
    with pytest.raises(ValueError, match="at least one sample"):
        losses.sampled_cql_loss(jnp.zeros((0, 2)), jnp.zeros((0, 2)), one)


def test_the_widest_array_decides_the_type():
    q = jnp.ones(3, jnp.bfloat16)
    assert sampled_cql_loss(q, jnp.zeros(3), q[0], tau=0.5).dtype == jnp.float32  # log-densities are in float32
    assert sampled_cql_loss(q, q, q[0], tau=jnp.float32(0.5)).dtype == jnp.bfloat16
    assert soft_maximum(q, 0.5).dtype == jnp.bfloat16
