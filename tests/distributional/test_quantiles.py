import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bellmax.distributional import (
    cosine_embedding,
    pool_quantiles,
    quantile_fractions,
    quantile_mean,
    quantile_midpoints,
)
from helpers import assert_close

pytestmark = pytest.mark.slow


def test_mean_by_hand():
    quantiles = jnp.array([1.0, 3.0, 8.0])
    # (1 + 3 + 8)/3 = 4; ½·1 + ¼·3 + ¼·8 = 3.25
    assert_close(quantile_mean(quantiles), 4)
    assert_close(quantile_mean(quantiles, jnp.array([0, 0.5, 0.75, 1])), 3.25)


def test_mean_of_a_known_distribution():
    fractions = quantile_midpoints(200)
    quantiles = jnp.asarray(stats.expon.ppf(np.asarray(fractions)), jnp.float32)
    assert_close(quantile_mean(quantiles), 1, rtol=1e-2)
    cut = quantile_fractions(jnp.linspace(2, -4, 200))  # finer where it is steep
    quantiles = jnp.asarray(stats.expon.ppf(np.asarray(cut.midpoints, np.float64)), jnp.float32)
    assert_close(quantile_mean(quantiles, cut.edges), 1, rtol=1e-3)


def test_fractions_by_hand():
    # Shares of 1, 2 and 1 in 4.
    found = quantile_fractions(jnp.log(jnp.array([1.0, 2.0, 1.0])))
    assert_close(found.edges, [0, 0.25, 0.75, 1], atol=1e-7)
    assert_close(found.midpoints, [0.125, 0.5, 0.875], atol=1e-7)
    assert_close(found.entropy, 1.5 * np.log(2), atol=1e-6)


def test_fractions_start_at_zero_end_at_one_and_never_fall():
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 8, (50, 64)), jnp.float32)
    for dtype in (jnp.float32, jnp.bfloat16):
        found = jax.jit(quantile_fractions)(logits.astype(dtype))
        assert (found.edges[:, 0] == 0).all()
        assert (found.edges[:, -1] == 1).all()
        assert (jnp.diff(found.edges) >= 0).all()
        assert ((found.midpoints >= 0) & (found.midpoints <= 1)).all()


def test_gradient_of_the_edges_is_that_of_the_softmax():
    logits = jnp.array([0.3, -1.0, 0.7])
    found = jax.jacobian(lambda x: quantile_fractions(x).edges)(logits)
    p = np.asarray(jax.nn.softmax(logits))
    shares = np.diag(p) - np.outer(p, p)
    assert_close(found, [np.zeros(3), shares[0], shares[0] + shares[1], np.zeros(3)], atol=1e-6)


def test_embedding_by_hand():
    # cos 0, cos π/3, cos 2π/3, cos π
    assert_close(cosine_embedding(jnp.array([1 / 3]), 4), [[1, 0.5, -0.5, -1]], atol=1e-6)
    assert_close(cosine_embedding(0.25, 64), np.cos(np.pi * np.arange(64) / 4), atol=2e-5)


def test_embedding_in_half_precision_is_computed_in_float32():
    fractions = jnp.array([0.3], jnp.bfloat16)
    expected = np.cos(np.pi * np.arange(64) * float(fractions[0]))
    assert_close(cosine_embedding(fractions, 64)[0], expected, rtol=0, atol=4e-3)


def test_fractions_outside_are_refused_and_nan_stays_visible():
    for outside in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"cosine_embedding: fractions must lie in \[0, 1\]"):
            cosine_embedding(jnp.array([0.5, outside]), 4)
    np.testing.assert_array_equal(np.isnan(cosine_embedding(jnp.array([0.5, jnp.nan]), 1)), [[False], [True]])


def test_embedding_without_features_is_refused():
    with pytest.raises(ValueError, match="cosine_embedding: size must be at least 1; got 0"):
        cosine_embedding(0.5, 0)


def test_pool_by_hand():
    # Of 1 4 9 and 3 2 8 the largest two go.
    assert_close(pool_quantiles(jnp.array([[1.0, 4.0, 9.0], [3.0, 2.0, 8.0]]), 1), [1, 2, 3, 4])
    assert pool_quantiles(jnp.zeros((5, 3, 25)), 2).shape == (3, 115)


def test_pool_sends_gradients_to_what_it_keeps():
    quantiles = jnp.array([[1.0, 4.0, 9.0], [3.0, 2.0, 8.0]])
    slope = jax.grad(lambda q: jnp.dot(pool_quantiles(q, 1), jnp.array([1.0, 2.0, 3.0, 4.0])))(quantiles)
    np.testing.assert_array_equal(slope, [[1, 4, 0], [3, 2, 0]])


def test_pool_shows_nan_in_its_own_example_only():
    found = pool_quantiles(jnp.array([[[1.0, jnp.nan], [1.0, 2.0]]]), 1)
    np.testing.assert_array_equal(found, [[np.nan], [1.0]])


def test_pool_without_members_is_refused():
    with pytest.raises(ValueError, match="pool_quantiles: an ensemble needs at least one member"):
        pool_quantiles(jnp.zeros((0, 2, 3)), 1)


@pytest.mark.parametrize("drop", [-1, 3, 4])
def test_pool_that_leaves_nothing_is_refused(drop):
    with pytest.raises(ValueError, match=rf"pool_quantiles: drop_per_member must be between 0 and 2.*got {drop}"):
        pool_quantiles(jnp.zeros((2, 3)), drop)
