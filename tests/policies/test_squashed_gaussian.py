import distrax
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax
from scipy import integrate, stats

from bellmax.policies import RealsToBox, gaussian, squashed_gaussian
from helpers import assert_close, float32, gaussian_kl, gradient, lenient

pytestmark = pytest.mark.slow

_log_prob = jax.jit(lambda pi, action: pi.log_prob(action))
_entropy = jax.jit(lambda pi: pi.entropy())
_slopes = jax.jit(jax.value_and_grad(lambda pi, action: jnp.sum(pi.log_prob(action)), (0, 1)))
_squash = jax.jit(lambda mu, low, high: squashed_gaussian(mu, mu, low, high).log_prob(mu))


@jax.jit
def _draw(pi, key):
    sample, log_prob = pi.sample_and_log_prob(seed=key, sample_shape=1000)
    return sample, log_prob, pi.log_prob(sample)


@jax.jit
def _draw_with_slope(mu, key):
    def log_prob(mu):
        return squashed_gaussian(mu, jnp.zeros(1)).sample_and_log_prob(seed=key)[1]

    return jax.value_and_grad(log_prob)(mu)


_BOXES = [(-1.0, 1.0), (0.0, 1.0), (99.0, 101.0), (-0.3, 7.7)]


def _density(action, mu, logvar, low, high):
    """Sum over dimensions of log N(x) − log |da/dx|, in the definition."""
    half = (np.asarray(high) - low) / 2
    x = np.arctanh((action - low) / half - 1)
    return np.sum(stats.norm.logpdf(x, mu, np.exp(np.asarray(logvar) / 2)) - np.log(half * (1 - np.tanh(x) ** 2)), -1)


def test_by_hand():
    # In [0, 4] the centre 2 comes from x = 0, where da/dx = 2: −½ ln 2π − ln 2.
    pi = squashed_gaussian(jnp.zeros(1), jnp.zeros(1), 0.0, 4.0)
    assert_close(pi.log_prob(jnp.array([2.0])), -0.5 * np.log(2 * np.pi) - np.log(2))


@pytest.mark.parametrize("box", _BOXES)
def test_equals_the_definition_inside(box):
    low, high = box
    mu, logvar = np.random.default_rng(0).normal(size=(2, 50, 2)) / 2
    action = low + (high - low) * np.random.default_rng(1).uniform(0.02, 0.98, (50, 2))
    found = _log_prob(squashed_gaussian(*float32(mu, logvar), low, high), *float32(action))
    tolerance = 1e-3 if low == 99 else 2e-5  # of what float32 knows of an action near 100
    assert_close(found, _density(action, mu, logvar, low, high), rtol=tolerance, atol=tolerance)
    with jax.enable_x64(True):
        found = _log_prob(squashed_gaussian(jnp.asarray(mu), jnp.asarray(logvar), low, high), jnp.asarray(action))
        assert_close(found, _density(action, mu, logvar, low, high), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("box", _BOXES)
def test_density_integrates_to_one_over_the_box(box):
    low, high = box
    nodes, weights = np.polynomial.legendre.leggauss(300)
    points, weights = low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2
    with jax.enable_x64(True):
        pi = squashed_gaussian(jnp.array([0.3, -0.5]), jnp.array([-0.5, -1.0]), low, high)
        grid = jnp.asarray(np.stack(np.meshgrid(points, points, indexing="ij"), -1))
        density = np.exp(_log_prob(pi, grid))
    assert_close(weights @ density @ weights, 1, rtol=1e-8, atol=1e-8)


def test_the_width_of_the_box_belongs_to_the_density():
    # Leaving out log((h − l)/2) is right on [−1, 1] alone: the density there, spread over [0, 4], is half as high.
    mu, logvar, u = *np.random.default_rng(0).normal(size=(2, 3)), np.array([0.3, -0.2, 0.6])
    narrow = squashed_gaussian(*float32(mu, logvar)).log_prob(*float32(u))
    wide = squashed_gaussian(*float32(mu, logvar), 0.0, 4.0).log_prob(*float32(2 + 2 * u))
    assert_close(wide, narrow - 3 * np.log(2))


def test_equals_distrax_inside_and_is_finite_where_distrax_is_not():
    mu, logvar = float32(*np.random.default_rng(2).normal(size=(2, 5, 3)))
    action = float32(np.random.default_rng(3).uniform(-0.9, 0.9, (5, 3)))[0]
    ours = squashed_gaussian(mu, logvar)
    with lenient():
        normal = distrax.Independent(distrax.Normal(mu, jnp.exp(logvar / 2)), 1)
        theirs = distrax.Transformed(normal, distrax.Block(distrax.Tanh(), 1))
        assert_close(ours.log_prob(action), theirs.log_prob(action), rtol=1e-4, atol=1e-4)
        assert not np.isfinite(theirs.log_prob(jnp.ones((5, 3)))).any()
    assert np.isfinite(ours.log_prob(jnp.ones((5, 3)))).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
@pytest.mark.parametrize("box", _BOXES)
def test_finite_at_the_bounds_with_its_gradients(box, dtype):
    pi = squashed_gaussian(jnp.zeros(2, dtype), jnp.zeros(2, dtype), *box)
    low, high = np.asarray(pi.low), np.asarray(pi.high)
    inner = low + np.asarray(0.01, low.dtype) * (high - low)
    for action in (low, high, np.nextafter(low, high), np.nextafter(high, low), inner):
        for leaf in jax.tree.leaves(_slopes(pi, action)):
            assert np.isfinite(np.asarray(leaf, np.float32)).all(), (action, leaf)
    for outside in (low - 1, high + 1):
        assert _slopes(pi, outside)[0] == -np.inf


def test_a_bound_counts_as_the_nearest_number_inside():
    pi = squashed_gaussian(jnp.zeros(1), jnp.zeros(1))
    nearest = np.nextafter(np.float32(1), np.float32(0))
    assert_close(pi.log_prob(jnp.ones(1)), _density(np.array([float(nearest)]), 0, 0, -1, 1), rtol=1e-6)


def test_samples_far_out_have_finite_log_probs_and_gradients(getkey):
    for mu in (8.0, 20.0, -20.0, 1e4, 1e37, -1e37):
        value, slope = _draw_with_slope(jnp.array([mu]), getkey())
        assert np.isfinite(value)
        assert_close(slope, [2 * np.sign(mu)])  # −log(1 − tanh²) grows as 2|x|


def test_log_prob_of_saturated_samples_is_exact_from_the_preimage(getkey):
    mu, key = 12.0, getkey()
    sample, log_prob = squashed_gaussian(jnp.array([mu]), jnp.zeros(1)).sample_and_log_prob(seed=key, sample_shape=20)
    x = np.asarray(gaussian(jnp.array([mu]), jnp.zeros(1)).sample(seed=key, sample_shape=20), np.float64)[:, 0]
    assert (np.asarray(sample) == 1).all()
    expected = stats.norm.logpdf(x, mu, 1) - 2 * (np.log(2) - x - np.log1p(np.exp(-2 * x)))
    assert_close(log_prob, expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("box", [*_BOXES, (-1.0, 0.0), (1 / 3, 2 / 3)])
def test_samples_are_inside(box, dtype, getkey):
    pi = squashed_gaussian(jnp.zeros(2, dtype), jnp.full(2, 3.0, dtype), *box)
    sample, log_prob, again = (np.asarray(each, np.float32) for each in _draw(pi, getkey()))
    assert ((sample >= np.asarray(pi.low, np.float32)) & (sample <= np.asarray(pi.high, np.float32))).all()
    assert np.isfinite(log_prob).all()
    assert np.isfinite(again).all()


def test_samples_are_the_squashed_gaussian_with_its_slope(getkey):
    mu, logvar = float32([0.4, -1.0], [0.5, -1.0])
    key = getkey()
    x = np.asarray(gaussian(mu, logvar).sample(seed=key, sample_shape=100), np.float64)
    assert_close(squashed_gaussian(mu, logvar, -1.0, 3.0).sample(seed=key, sample_shape=100), 1 + 2 * np.tanh(x))
    slope = gradient(lambda mu: squashed_gaussian(mu, logvar, -1.0, 3.0).sample(seed=key, sample_shape=100), mu)
    assert_close(slope, np.sum(2 * (1 - np.tanh(x) ** 2), 0))


@pytest.mark.parametrize("mu", [0.0, 0.1, 1.0, -3.0, 30.0])
def test_entropy_equals_adaptive_quadrature_at_every_width(mu):
    sigmas = np.array([1e-4, 0.05, 0.5, 1.0, 2.0, 7.4, 50.0])

    def reference(sigma):
        zero = -mu / sigma  # where the stretch is greatest
        points = [p for p in zero + np.array([-10, -1, 0, 1, 10]) / sigma if -12 < p < 12] or None
        softabs = integrate.quad(
            lambda z: np.logaddexp(mu + sigma * z, -mu - sigma * z) * stats.norm.pdf(z), -12, 12, points=points
        )[0]
        return stats.norm.entropy(mu, sigma) + np.log(2) + np.log(2.0) - 2 * softabs + np.log(1.5)

    expected = [reference(sigma) for sigma in sigmas]
    arrays = np.full((7, 1), mu), 2 * np.log(sigmas)[:, None]
    assert_close(_entropy(squashed_gaussian(*float32(*arrays), -1.0, 2.0)), expected, rtol=2e-6, atol=2e-6)
    with jax.enable_x64(True):
        pi = squashed_gaussian(*(jnp.asarray(x) for x in arrays), -1.0, 2.0)
        assert_close(_entropy(pi), expected, rtol=1e-8, atol=1e-8)


def test_entropy_is_the_mean_of_minus_the_log_prob(getkey):
    pi = squashed_gaussian(*float32([[0.5, -1.0]], [[0.5, 2.0]]), -1.0, 5.0)
    _, log_prob = jax.jit(lambda key: pi.sample_and_log_prob(seed=key, sample_shape=100_000))(getkey())
    error = np.std(log_prob) / np.sqrt(1e5)
    assert abs(float(np.mean(log_prob)) + float(_entropy(pi)[0])) < 4 * error


def test_entropy_is_that_of_the_squashed_policy_not_of_its_gaussian():
    mu, sigma = float32([[0.5, -1.0]], [[0.0, 0.0]])
    with lenient(), pytest.warns(PendingDeprecationWarning):
        theirs = rlax.squashed_gaussian(-4.0, 0.0).entropy(mu, sigma)
    # rlax squashes the parameters too: mean tanh(mu), log deviation −2. It leaves the action's squash out.
    pi = squashed_gaussian(jnp.tanh(mu), jnp.full((1, 2), -4.0))
    assert_close(theirs, gaussian(jnp.tanh(mu), jnp.full((1, 2), -4.0)).entropy())
    assert np.all(pi.entropy() < np.asarray(theirs) - 0.1)


def test_divergence_is_that_of_the_gaussians():
    mu, logvar, other_mu, other_logvar = np.random.default_rng(4).normal(size=(4, 5, 2))
    pi, other = (squashed_gaussian(*float32(*each), -2.0, 5.0) for each in ((mu, logvar), (other_mu, other_logvar)))
    assert_close(pi.kl_divergence(other), gaussian_kl(mu, logvar, other_mu, other_logvar), rtol=1e-4)


def test_divergence_between_different_boxes_is_refused():
    pi, other = (squashed_gaussian(jnp.zeros(2), jnp.zeros(2), -1.0, high) for high in (1.0, 2.0))
    with pytest.raises(ValueError, match=r"(?s)SquashedGaussian.*equal bounds.*approximate_kl"):
        pi.kl_divergence(other)
    divergence = jax.jit(lambda pi, other: pi.kl_divergence(other))
    assert np.isnan(divergence(pi, other))
    assert float(divergence(pi, pi)) == 0


def test_mode_and_median_are_the_squashed_mean(getkey):
    pi = squashed_gaussian(*float32([0.5, -2.0], [1.0, 1.0]), 0.0, 4.0)
    expected = 2 + 2 * np.tanh([0.5, -2.0])
    assert_close(pi.mode(), expected)
    assert_close(pi.median(), expected)
    sample = np.asarray(pi.sample(seed=getkey(), sample_shape=20_000))
    assert_close((sample < expected).mean(0), [0.5, 0.5], atol=4 * 0.5 / np.sqrt(20_000))


def test_the_logistic_squash_is_the_same_family():
    mu, logvar = float32(*np.random.default_rng(5).normal(size=(2, 4, 3)))
    action = float32(np.random.default_rng(6).uniform(-0.9, 2.9, (4, 3)))[0]
    ours = squashed_gaussian(mu / 2, logvar - jnp.log(4.0), -1.0, 3.0)
    with lenient():
        theirs = distrax.Transformed(gaussian(mu, logvar), RealsToBox(jnp.full(3, -1.0), jnp.full(3, 3.0)))
        assert_close(ours.log_prob(action), theirs.log_prob(action), rtol=1e-4, atol=1e-4)


def test_nan_stays_visible():
    pi = squashed_gaussian(*float32([[np.nan], [0.0], [0.0]], np.zeros((3, 1))))
    np.testing.assert_array_equal(np.isnan(_log_prob(pi, jnp.array([[0.0], [0.0], [jnp.nan]]))), [True, False, True])
    np.testing.assert_array_equal(np.isnan(_entropy(pi)), [True, False, False])


def test_bad_bounds_are_refused_by_name():
    mu = jnp.zeros((4, 2))
    for low, high in ((1.0, 1.0), (2.0, 1.0), (-np.inf, 1.0), (0.0, np.inf), (np.zeros(2), np.array([1.0, 0.0]))):
        with pytest.raises(ValueError, match="squashed_gaussian: low must be below high, and both finite"):
            squashed_gaussian(mu, mu, low, high)
    with pytest.raises(ValueError, match="squashed_gaussian: low must be below"):
        jax.jit(lambda mu: squashed_gaussian(mu, mu, 1.0, 0.0).mode())(mu)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)squashed_gaussian.*high"):
        squashed_gaussian(mu, mu, 0.0, jnp.ones(3))
    log_prob = _squash(mu, 2.0, 1.0)  # unknown under a transform: then no action is inside
    assert (np.isnan(log_prob) | np.isneginf(log_prob)).all()


def test_bounds_may_be_numbers_or_arrays():
    mu = jnp.zeros((4, 2))
    pi = squashed_gaussian(mu, mu, np.array([-1.0, 0.0]), jnp.array([[1.0, 4.0]]))
    assert_close(pi.mode(), np.tile([0.0, 2.0], (4, 1)))
    assert pi.low.shape == pi.high.shape == (4, 2)
