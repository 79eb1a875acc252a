import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import integrate, stats

from bellmax.policies import beta
from helpers import assert_close, float32

pytestmark = pytest.mark.slow

_ALPHA, _BETA = np.meshgrid([0.1, 0.5, 1.0, 2.0, 10.0, 100.0], [0.1, 0.5, 1.0, 2.0, 10.0, 100.0])
_MANY = 20_000
_draw = jax.jit(lambda pi, key: pi.sample_and_log_prob(seed=key, sample_shape=500))
_ALPHA, _BETA = _ALPHA.reshape(-1, 1), _BETA.reshape(-1, 1)


def test_by_hand():
    # 6 v (1 − v) at ½ is 1.5; over [−1, 3], four times as wide, a quarter of it.
    pi = beta(jnp.full(1, 2.0), jnp.full(1, 2.0), -1.0, 3.0)
    assert_close(pi.log_prob(jnp.ones(1)), np.log(1.5 / 4))
    # Uniform: −ln 4 anywhere, entropy ln 4.
    pi = beta(jnp.ones(1), jnp.ones(1), -1.0, 3.0)
    assert_close(pi.log_prob(jnp.array([[0.0], [2.9]])), [-np.log(4)] * 2)
    assert_close(pi.entropy(), np.log(4))


def test_equals_scipy_in_both_precisions():
    theirs = stats.beta(_ALPHA, _BETA, -1.0, 4.0)
    action = np.clip(theirs.ppf(0.3), -0.999, 2.999)
    expected = [x[..., 0] for x in (theirs.logpdf(action), theirs.entropy(), theirs.mean(), theirs.std())]

    def numbers(pi, action):
        return pi.log_prob(action), pi.entropy(), pi.mean()[:, 0], pi.stddev()[:, 0]

    found = jax.jit(numbers)(beta(*float32(_ALPHA, _BETA), -1.0, 3.0), *float32(action))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=2e-4, atol=1e-4)
    with jax.enable_x64(True):
        pi = beta(jnp.asarray(_ALPHA), jnp.asarray(_BETA), -1.0, 3.0)
        for one, other in zip(jax.jit(numbers)(pi, jnp.asarray(action)), expected, strict=True):
            assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_divergence_equals_adaptive_quadrature():
    for a, b, c, d in np.random.default_rng(0).uniform(0.8, 4, (4, 4)):
        one, two = stats.beta(a, b), stats.beta(c, d)
        expected = integrate.quad(lambda x, p=one, q=two: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), 0, 1)[0]
        arrays = float32([a], [b], [c], [d])
        assert_close(beta(*arrays[:2], -1.0, 3.0).kl_divergence(beta(*arrays[2:], -1.0, 3.0)), expected, rtol=1e-4)


def test_divergence_between_different_boxes_is_refused():
    pi, other = (beta(jnp.ones(2), jnp.ones(2), 0.0, high) for high in (1.0, 2.0))
    with pytest.raises(ValueError, match=r"(?s)BetaDistribution.*equal bounds.*approximate_kl"):
        pi.kl_divergence(other)
    assert np.isnan(jax.jit(lambda pi, other: pi.kl_divergence(other))(pi, other))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("box", [(0.0, 1.0), (-1.0, 0.0), (-0.1, 1 / 3), (99.0, 101.0)])
def test_samples_are_strictly_inside(box, dtype, getkey):
    parameters = jnp.array([0.01, 0.3, 1.0, 5.0, 300.0], dtype)
    pi = beta(parameters, parameters[::-1], *box)
    sample, log_prob = _draw(pi, getkey())
    assert sample.dtype == dtype
    sample, low, high = (np.asarray(each, np.float32) for each in (sample, pi.low, pi.high))
    assert ((sample > low) & (sample < high)).all()
    assert np.isfinite(log_prob).all()


def test_samples_follow_the_distribution(getkey):
    a, b = np.array([0.5, 1.0, 3.0, 20.0]), np.array([0.5, 2.0, 1.5, 40.0])
    samples = np.asarray(beta(*float32(a, b), -1.0, 3.0).sample(seed=getkey(), sample_shape=20_000), np.float64)
    for i in range(4):
        assert stats.kstest(samples[:, i], stats.beta(a[i], b[i], -1, 4).cdf).pvalue > 1e-4


def test_slopes_of_samples_average_to_those_of_the_moments(getkey):
    alpha, beta_ = 2.5, 1.7
    arrays = jnp.full(_MANY, alpha), jnp.full(_MANY, beta_)
    x, slopes = jax.jit(lambda *arrays: jax.vjp(lambda *arrays: beta(*arrays).sample(seed=getkey()), *arrays))(*arrays)
    slopes = [np.asarray(slope, np.float64) for slope in slopes(jnp.ones(_MANY))]
    total, x = alpha + beta_, np.asarray(x, np.float64)
    # E[x] = α/s and E[x²] = α(α + 1)/(s(s + 1)) with s = α + β.
    second = alpha * (alpha + 1) / (total * (total + 1))
    shrink = 1 / total + 1 / (total + 1)
    expected = (
        (beta_ / total**2, second * (1 / alpha + 1 / (alpha + 1) - shrink)),
        (-alpha / total**2, -second * shrink),
    )
    for slope, moments in zip(slopes, expected, strict=True):
        for each, moment in zip((slope, 2 * x * slope), moments, strict=True):
            assert abs(each.mean() - moment) < 5 * each.std() / np.sqrt(_MANY)


def test_mode_of_each_shape():
    # (α − 1)/(α + β − 2) with a peak inside; the bound it leans on; the mean without a peak.
    alpha, beta_ = float32([3.0, 2.0, 0.5, 1.0, 1.0, 0.5], [2.0, 1.0, 2.0, 1.0, 3.0, 0.25])
    assert_close(beta(alpha, beta_, 0.0, 3.0).mode(), [2.0, 3.0, 0.0, 1.5, 0.0, 2.0])


def test_bounds_count_as_the_nearest_inside_with_finite_gradients():
    pi = beta(*float32([2.0, 0.5], [3.0, 0.5]))
    for action in (jnp.zeros(2), jnp.ones(2)):
        value, slope = jax.value_and_grad(pi.log_prob)(action)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
    assert (pi.log_prob(jnp.array([[-0.1, 0.5], [0.5, 1.1]])) == -np.inf).all()


def test_softplus_of_a_network_gives_one_peak(getkey):
    outputs = jax.random.normal(getkey(), (2, 100, 3))
    pi = beta(1 + jax.nn.softplus(outputs[0]), 1 + jax.nn.softplus(outputs[1]), -1.0, 1.0)
    assert ((pi.mode() > -1) & (pi.mode() < 1)).all()
    assert (pi.log_prob(pi.mode()) >= pi.log_prob(pi.mean())).all()


def test_nan_stays_visible():
    pi = beta(jnp.ones((1, 1)), jnp.ones((1, 1)))
    poisoned = jax.tree.map(lambda leaf: leaf * jnp.nan, pi)
    assert np.isnan(poisoned.log_prob(jnp.full((1, 1), 0.5)))
    assert np.isnan(pi.log_prob(jnp.full((1, 1), jnp.nan)))


def test_bad_arguments_are_refused_by_name():
    ones = jnp.ones((4, 2))
    with pytest.raises(ValueError, match="beta: alpha must be positive"):
        beta(0 * ones, ones)
    with pytest.raises(ValueError, match="beta: beta must be positive"):
        beta(ones, -ones)
    with pytest.raises(ValueError, match="beta: low must be below high, and both finite"):
        beta(ones, ones, 1.0, 0.0)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)beta.*alpha"):
        beta(ones, jnp.ones(2))
