"""Divergences between policies over real actions: exact between the same kind, refused by name between kinds."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.losses import approximate_kl
from bellmax.policies import beta, deterministic, gaussian, squashed_gaussian, truncated_gaussian
from helpers import assert_close, float32, lenient

pytestmark = pytest.mark.slow

_FIRST, _SECOND = float32(*np.random.default_rng(0).uniform(1, 2, (2, 4, 2)))
KINDS = {
    "gaussian": gaussian,
    "squashed_gaussian": lambda first, second: squashed_gaussian(first, second, -4.0, 4.0),
    "truncated_gaussian": lambda first, second: truncated_gaussian(first, second, -4.0, 4.0),
    "beta": lambda first, second: beta(first, second, -4.0, 4.0),
}
PAIRS = [(one, other) for one in KINDS for other in KINDS if one != other]


@jax.jit
def _numbers(pi, other, key):
    action, log_prob = pi.sample_and_log_prob(seed=key, sample_shape=20_000)
    log_ratio = other.log_prob(action) - log_prob
    return pi.kl_divergence(other), pi.cross_entropy(other), pi.entropy(), log_ratio


@pytest.mark.parametrize("kind", KINDS)
def test_cross_entropy_is_entropy_and_divergence_as_samples_say(kind, getkey):
    pi, other = KINDS[kind](_FIRST, _SECOND), KINDS[kind](_SECOND * 0.8, _FIRST * 1.1)
    divergence, cross, entropy, log_ratio = (np.asarray(x, np.float64) for x in _numbers(pi, other, getkey()))
    assert_close(cross, entropy + divergence)
    assert (cross >= entropy).all()
    assert (abs(divergence + log_ratio.mean(0)) < 5 * log_ratio.std(0) / np.sqrt(20_000)).all()


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_divergence_between_kinds_points_to_an_estimate(one, other):
    pi, another = KINDS[one](_FIRST, _SECOND), KINDS[other](_FIRST, _SECOND)
    with pytest.raises(NotImplementedError, match=r"Distribution: no closed form.*bellmax\.losses\.approximate_kl"):
        pi.kl_divergence(another)


def test_the_estimate_serves_where_there_is_no_closed_form(getkey):
    # From a truncated to a whole Gaussian with the same parameters the divergence is −log of the mass inside.
    zeros = jnp.zeros(1)
    pi, other = truncated_gaussian(zeros, zeros, -1.0, 1.0), gaussian(zeros, zeros)
    action, log_prob = pi.sample_and_log_prob(seed=getkey(), sample_shape=1000)
    assert_close(np.mean(approximate_kl(other.log_prob(action) - log_prob, estimator="k1")), -np.log(0.6826895))


def test_distrax_s_own_distributions_are_refused_too():
    pi = squashed_gaussian(_FIRST, _SECOND)
    with lenient():
        theirs = distrax.Independent(distrax.Normal(_FIRST, _SECOND), 1)
        for call in (lambda: pi.kl_divergence(theirs), lambda: theirs.kl_divergence(pi)):
            with pytest.raises(NotImplementedError, match="SquashedGaussianDistribution: no closed form"):
                call()


@pytest.mark.parametrize("pi", [squashed_gaussian(_FIRST, _SECOND), deterministic(_FIRST)], ids=lambda pi: pi.name)
def test_what_has_no_closed_form_says_so(pi):
    with pytest.raises(NotImplementedError, match=f"{pi.name}: no closed form"):
        pi.log_cdf(_FIRST)
