import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from bellmax.policies import gaussian
from helpers import (
    assert_close,
    check_gaussian_entropy,
    check_gaussian_kl,
    check_gaussian_log_prob,
    check_gaussian_moments,
    float32,
    gaussian_kl,
    gaussian_log_prob,
    lenient,
)

_numbers = hnp.arrays(np.float32, (3, 2), elements=st.floats(-5, 5, width=32))
_parts = jax.jit(
    lambda mu, logvar, value, other_mu, other_logvar: (
        gaussian(mu, logvar).log_prob(value),
        gaussian(mu, logvar).kl_divergence(gaussian(other_mu, other_logvar)),
    )
)


def test_by_hand():
    # Standard normal in two dimensions at 0 and at (1, 1): −ln 2π and 1 less.
    pi = gaussian(jnp.zeros(2), jnp.zeros(2))
    assert_close(pi.log_prob(jnp.array([[0.0, 0.0], [1.0, 1.0]])), [-np.log(2 * np.pi), -np.log(2 * np.pi) - 1])


def test_log_prob_equals_numpy():
    check_gaussian_log_prob(gaussian)


def test_entropy_by_hand():
    check_gaussian_entropy(gaussian)


def test_divergence_equals_numpy():
    check_gaussian_kl(gaussian)


def test_samples_have_the_mean_and_the_deviation():
    check_gaussian_moments(gaussian)


@hypothesis.given(_numbers, _numbers, _numbers, _numbers, _numbers)
def test_equals_numpy_on_any_input(mu, logvar, value, other_mu, other_logvar):
    log_prob, divergence = _parts(mu, logvar, value, other_mu, other_logvar)
    assert_close(log_prob, gaussian_log_prob(value, mu, logvar), rtol=1e-4)
    assert_close(divergence, gaussian_kl(mu, logvar, other_mu, other_logvar), rtol=1e-4, atol=1e-4)


def test_equals_scipy_in_both_precisions():
    mu, logvar, value = np.random.default_rng(0).normal(size=(3, 4, 3))
    sigma = np.exp(logvar / 2)
    log_prob, entropy = stats.norm.logpdf(value, mu, sigma).sum(-1), stats.norm.entropy(mu, sigma).sum(-1)
    pi = gaussian(*float32(mu, logvar))
    assert_close(pi.log_prob(*float32(value)), log_prob)
    assert_close(pi.entropy(), entropy)
    with jax.enable_x64(True), lenient():
        pi = gaussian(jnp.asarray(mu), jnp.asarray(logvar))
        assert_close(pi.log_prob(jnp.asarray(value)), log_prob, rtol=1e-6, atol=1e-6)
        assert_close(pi.entropy(), entropy, rtol=1e-6, atol=1e-6)


def test_moments_are_the_parameters():
    mu, logvar = float32([1.0, 2.0], np.log([4.0, 9.0]))
    pi = gaussian(mu, logvar)
    for centre in (pi.mean(), pi.median(), pi.mode()):
        np.testing.assert_array_equal(centre, mu)
    assert_close(pi.stddev(), [2, 3])
    assert_close(pi.variance(), [4, 9])


def test_mode_is_the_likeliest(getkey):
    pi = gaussian(*float32([1.0, 2.0], [0.5, -0.5]))
    samples = pi.sample(seed=getkey(), sample_shape=50)
    assert (pi.log_prob(samples) <= pi.log_prob(pi.mode())).all()


def test_a_permutation_of_dimensions_changes_nothing():
    mu, logvar, value = float32(*np.random.default_rng(1).normal(size=(3, 4, 3)))
    order = np.array([2, 0, 1])
    permuted = gaussian(mu[:, order], logvar[:, order])
    assert_close(permuted.log_prob(value[:, order]), gaussian(mu, logvar).log_prob(value))
    assert_close(permuted.entropy(), gaussian(mu, logvar).entropy())


def test_a_shift_changes_nothing():
    mu, logvar, value = float32(*np.random.default_rng(1).normal(size=(3, 4, 3)))
    assert_close(gaussian(mu + 2, logvar).log_prob(value + 2), gaussian(mu, logvar).log_prob(value), atol=1e-4)


def test_a_sample_is_differentiable_in_both_parameters(getkey):
    mu, logvar = float32([1.0, -1.0], [0.5, -2.0])
    key = getkey()
    sample = gaussian(mu, logvar).sample(seed=key)
    slopes = jax.jacobian(lambda mu, logvar: gaussian(mu, logvar).sample(seed=key), (0, 1))(mu, logvar)
    # μ + e^{ν/2}ε: slopes 1 and ½e^{ν/2}ε.
    assert_close(slopes[0], np.eye(2))
    assert_close(slopes[1], np.diag(0.5 * (np.asarray(sample) - np.asarray(mu))))


@pytest.mark.parametrize("logvar", [-1e4, -170.0, 170.0, 1e4])
def test_extreme_variances_stay_finite(logvar, getkey):
    mu, logvars = float32([0.0, 1.0], [logvar, logvar])
    pi = gaussian(mu, logvars)
    sample, log_prob = pi.sample_and_log_prob(seed=getkey())
    assert np.isfinite(sample).all()
    assert np.isfinite(log_prob)
    assert np.isfinite(pi.entropy())
    slope = jax.jit(jax.grad(lambda mu, logvar: gaussian(mu, logvar).log_prob(mu + 0), (0, 1)))(mu, logvars)
    assert all(np.isfinite(leaf).all() for leaf in slope)
    assert_close(pi.kl_divergence(pi), 0)


def test_gradients_match_finite_differences():
    mu, logvar, other_mu, other_logvar = np.random.default_rng(2).normal(size=(4, 3))
    with jax.enable_x64(True), lenient():

        def numbers(mu, logvar, other_mu, other_logvar):
            pi, other = gaussian(mu, logvar), gaussian(other_mu, other_logvar)
            return pi.log_prob(jnp.ones(3)) + 2 * pi.entropy() + 3 * pi.kl_divergence(other)

        args = tuple(jnp.asarray(x) for x in (mu, logvar, other_mu, other_logvar))
        check_grads(jax.jit(numbers), args, order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5)


def test_nan_stays_visible():
    pi = gaussian(*float32([[np.nan, 0.0], [0.0, 0.0]], np.zeros((2, 2))))
    np.testing.assert_array_equal(np.isnan(pi.log_prob(jnp.zeros((2, 2)))), [True, False])
    pi = gaussian(*float32(np.zeros((2, 2)), [[np.nan, 0.0], [0.0, 0.0]]))
    for number in (pi.log_prob(jnp.zeros((2, 2))), pi.entropy()):
        np.testing.assert_array_equal(np.isnan(number), [True, False])


def test_parameters_of_different_shapes_are_refused_by_name():
    for logvar in (jnp.zeros(2), jnp.zeros((4, 1)), jnp.zeros((4, 3)), 0.0, None):
        with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)gaussian.*logvar"):
            gaussian(jnp.zeros((4, 2)), logvar)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)gaussian.*mu"):
        gaussian(0.0, 0.0)
