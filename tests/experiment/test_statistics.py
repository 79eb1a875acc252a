"""The bootstrap."""

import numpy as np
import pytest
import scipy.stats

from bellmax.experiment import bootstrap_interval, interquartile_mean


def test_interval_equals_scipys():
    values = np.random.default_rng(1).normal(10, 3, 12)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=2)
    np.testing.assert_allclose(bootstrap_interval(values), theirs.confidence_interval, atol=0.1)


def test_interval_holds_the_mean_and_repeats():
    values = np.array([0.0, 1.0, 5.0])
    low, high = bootstrap_interval(values)
    assert low <= values.mean() <= high
    assert bootstrap_interval(values) == (low, high)


def test_one_value_is_its_own_interval():
    assert bootstrap_interval(np.array([3.0])) == (3.0, 3.0)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 10, 11])
def test_interquartile_mean_equals_scipys_trimmed_mean(count):
    values = np.random.default_rng(count).normal(size=(3, count))
    np.testing.assert_allclose(interquartile_mean(values), scipy.stats.trim_mean(values, 0.25, axis=1), rtol=1e-12)
    np.testing.assert_allclose(interquartile_mean(values, axis=0), scipy.stats.trim_mean(values, 0.25), rtol=1e-12)


def test_interval_of_the_interquartile_mean_forgets_one_seed_that_failed():
    values = np.array([500.0] * 11 + [0.0])
    assert bootstrap_interval(values)[0] < 420
    low, high = bootstrap_interval(values, statistic=interquartile_mean)
    assert 420 < low <= high == 500
