"""The bootstrap."""

import numpy as np
import scipy.stats

from bellmax.experiment import bootstrap_interval


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
