import itertools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import integrate, stats

from bellmax.policies import gaussian, truncated_gaussian
from helpers import assert_close, float32

pytestmark = pytest.mark.slow

_LOW, _HIGH = -1.0, 2.0
_PAIRS = [(mu, sigma) for mu in (-100.0, -5.0, -1.0, 0.5, 2.0, 40.0) for sigma in (0.05, 1.0, 5.0, 1e4)]
_MU, _SIGMA = np.array(_PAIRS).T[..., None]
_divergence = jax.jit(lambda pi, other: pi.kl_divergence(other))


@jax.jit
def _numbers(pi, action):
    return pi.log_prob(action), pi.entropy(), pi.mean()[:, 0], pi.stddev()[:, 0]


def _reference(mu, sigma, action):
    """Everything by adaptive quadrature of exp(−(x−μ)²/2σ²), divided by its value at the point nearest to μ."""
    mode = np.clip(mu, _LOW, _HIGH)
    scale = sigma**2 / max(abs(mode - mu), sigma)
    ends = sorted({_LOW, _HIGH, *np.clip(mode + scale * np.array([-30, -5, -1, 0, 1, 5, 30]), _LOW, _HIGH)})

    def exponent(x):
        return -(x - mode) * (x + mode - 2 * mu) / (2 * sigma**2)

    def integral(f):
        pieces = itertools.pairwise(ends)
        return sum(integrate.quad(lambda x: np.exp(exponent(x)) * f(x), low, high)[0] for low, high in pieces)

    mass = integral(lambda x: 1.0)
    mean = mode + integral(lambda x: x - mode) / mass
    entropy = np.log(mass) - integral(exponent) / mass
    return exponent(action) - np.log(mass), entropy, mean, np.sqrt(integral(lambda x: (x - mean) ** 2) / mass)


def test_by_hand():
    # A standard normal on [0, ∞) as good as: twice the density, log 2 − ½ ln 2π − ½.
    pi = truncated_gaussian(jnp.zeros(1), jnp.zeros(1), 0.0, 50.0)
    assert_close(pi.log_prob(jnp.ones(1)), np.log(2) - 0.5 * np.log(2 * np.pi) - 0.5)
    # Wide beside its box it is uniform: −ln 3.
    assert_close(truncated_gaussian(jnp.zeros(1), jnp.full(1, 80.0), _LOW, _HIGH).entropy(), np.log(3))


def test_equals_adaptive_quadrature_in_any_tail_and_at_any_width():
    expected = np.array([_reference(mu, sigma, 0.3) for mu, sigma in _PAIRS]).T
    pi = truncated_gaussian(*float32(_MU, 2 * np.log(_SIGMA)), _LOW, _HIGH)
    found = _numbers(pi, jnp.full((len(_PAIRS), 1), 0.3))
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=2e-6, atol=2e-6)
    with jax.enable_x64(True):
        pi = truncated_gaussian(jnp.asarray(_MU), jnp.asarray(2 * np.log(_SIGMA)), _LOW, _HIGH)
        found = _numbers(pi, jnp.full((len(_PAIRS), 1), 0.3))
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_equals_scipy():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(2, 30, 2))
    sigma, action = np.exp(logvar / 2), rng.uniform(_LOW, _HIGH, (30, 2))
    theirs = stats.truncnorm((_LOW - mu) / sigma, (_HIGH - mu) / sigma, mu, sigma)
    with jax.enable_x64(True):
        pi = truncated_gaussian(jnp.asarray(mu), jnp.asarray(logvar), _LOW, _HIGH)
        found = jax.jit(lambda pi, action: (pi.log_prob(action), pi.entropy(), pi.mean(), pi.variance()))(pi, action)
        expected = theirs.logpdf(action).sum(-1), theirs.entropy().sum(-1), theirs.mean(), theirs.var()
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_a_wide_box_leaves_the_gaussian():
    mu, logvar, action = float32(*np.random.default_rng(1).normal(size=(3, 4, 2)))
    pi, whole = truncated_gaussian(mu, logvar, -100.0, 100.0), gaussian(mu, logvar)
    other = truncated_gaussian(action, -logvar, -100.0, 100.0)
    numbers = jax.jit(lambda pi, other: (pi.log_prob(action), pi.entropy(), pi.kl_divergence(other)))
    expected = numbers(whole, gaussian(action, -logvar))
    for one, another in zip(numbers(pi, other), expected, strict=True):
        assert_close(one, another, rtol=1e-4, atol=1e-4)


def test_samples_are_inside_and_follow_the_distribution_in_any_tail(getkey):
    pi = truncated_gaussian(*float32(_MU, 2 * np.log(_SIGMA)), _LOW, _HIGH)
    samples = np.asarray(jax.jit(lambda pi, key: pi.sample(seed=key, sample_shape=10_000))(pi, getkey()), np.float64)
    assert (samples >= _LOW).all()
    assert (samples <= _HIGH).all()
    _, _, mean, deviation = (np.asarray(each) for each in _numbers(pi, pi.mode()))
    # Five standard errors of the mean.
    assert (abs(samples.mean(0)[:, 0] - mean) < 5 * deviation / 100).all()
    for i, (mu, sigma) in enumerate(_PAIRS):
        if abs(np.clip(mu, _LOW, _HIGH) - mu) / sigma < 20:  # scipy's own cdf fails further out
            theirs = stats.truncnorm((_LOW - mu) / sigma, (_HIGH - mu) / sigma, mu, sigma)
            assert stats.kstest(samples[:, i, 0], theirs.cdf).pvalue > 1e-4, (mu, sigma)


def test_slope_of_a_sample_is_that_of_the_quantile_function(getkey):
    key = getkey()
    with jax.enable_x64(True):
        bounds = jnp.full_like(jnp.asarray(_MU), _LOW), jnp.full_like(jnp.asarray(_MU), _HIGH)
        parameters = jnp.stack([jnp.asarray(_MU), jnp.asarray(2 * np.log(_SIGMA)), *bounds])
        sample = jax.jit(lambda parameters: truncated_gaussian(*parameters).sample(seed=key))
        slopes = jax.grad(lambda parameters: sample(parameters).sum())(parameters)
        for i in range(4):
            step = jnp.zeros_like(parameters).at[i].set(1e-6)
            differences = (sample(parameters + step) - sample(parameters - step)) / 2e-6
            assert_close(slopes[i], differences, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16])
def test_half_precision_stays_inside(dtype, getkey):
    pi = truncated_gaussian(jnp.zeros(2, dtype), jnp.ones(2, dtype), -0.1, 1 / 3)
    sample, log_prob = jax.jit(lambda pi, key: pi.sample_and_log_prob(seed=key, sample_shape=1000))(pi, getkey())
    assert sample.dtype == dtype
    inside, low, high = (np.asarray(each, np.float32) for each in (sample, pi.low, pi.high))
    assert ((inside >= low) & (inside <= high)).all()
    assert log_prob.dtype == jnp.float32
    assert np.isfinite(log_prob).all()


def test_density_integrates_to_one_and_is_none_outside():
    nodes, weights = np.polynomial.legendre.leggauss(200)
    points = _LOW + (_HIGH - _LOW) * (nodes + 1) / 2
    pi = truncated_gaussian(*float32([[1.0]], [[-1.0]]), _LOW, _HIGH)
    density = np.exp(np.asarray(pi.log_prob(float32(points)[0][:, None, None]), np.float64))[:, 0]
    assert_close(weights @ density * (_HIGH - _LOW) / 2, 1)
    edges = pi.log_prob(jnp.array([_LOW - 1e-3, _HIGH + 1e-3, _LOW, _HIGH])[:, None, None])[:, 0]
    np.testing.assert_array_equal(np.isneginf(edges), [True, True, False, False])


@pytest.mark.parametrize(("low", "high"), [(_LOW, _HIGH), (-3.0, 2.5)])
def test_divergence_equals_adaptive_quadrature_for_other_boxes_too(low, high):
    for mu, sigma, other_mu, other_sigma in np.random.default_rng(2).uniform(0.3, 2, (4, 4)):
        one = stats.truncnorm((_LOW - mu) / sigma, (_HIGH - mu) / sigma, mu, sigma)
        two = stats.truncnorm((low - other_mu) / other_sigma, (high - other_mu) / other_sigma, other_mu, other_sigma)
        expected = integrate.quad(lambda x, p=one, q=two: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), _LOW, _HIGH)[0]
        pi = truncated_gaussian(*float32([mu], [2 * np.log(sigma)]), _LOW, _HIGH)
        other = truncated_gaussian(*float32([other_mu], [2 * np.log(other_sigma)]), low, high)
        assert_close(_divergence(pi, other), expected, rtol=1e-5)


def test_divergence_from_a_box_that_is_not_contained_is_infinite():
    wide, narrow = (truncated_gaussian(jnp.zeros(1), jnp.zeros(1), -1.0, high) for high in (2.0, 1.0))
    assert float(_divergence(wide, narrow)) == np.inf
    # Narrow to wide: the log of the ratio of the masses.
    masses = stats.norm.cdf([2, 1]) - stats.norm.cdf(-1)
    assert_close(_divergence(narrow, wide), np.log(masses[0] / masses[1]))


def test_mode_is_the_likeliest(getkey):
    pi = truncated_gaussian(*float32([-3.0, 0.5, 3.0], np.zeros(3)), _LOW, _HIGH)
    assert_close(pi.mode(), [_LOW, 0.5, _HIGH])
    draw = jax.jit(lambda pi, key: pi.sample_and_log_prob(seed=key, sample_shape=100))
    assert (draw(pi, getkey())[1] <= jax.jit(lambda pi: pi.log_prob(pi.mode()))(pi)).all()


def test_nan_stays_visible(getkey):
    pi = truncated_gaussian(*float32([[np.nan], [0.0]], [[0.0], [0.0]]), _LOW, _HIGH)
    numbers = jax.jit(lambda pi, key: (pi.log_prob(pi.low), pi.entropy(), pi.sample(seed=key)[:, 0]))
    for number in numbers(pi, getkey()):
        np.testing.assert_array_equal(np.isnan(number), [True, False])


def test_bad_arguments_are_refused_by_name():
    mu = jnp.zeros((4, 2))
    for low, high in ((1.0, 1.0), (2.0, 1.0), (-np.inf, 1.0)):
        with pytest.raises(ValueError, match="truncated_gaussian: low must be below high, and both finite"):
            truncated_gaussian(mu, mu, low, high)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)truncated_gaussian.*logvar"):
        truncated_gaussian(mu, jnp.zeros(2), 0.0, 1.0)
