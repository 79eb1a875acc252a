"""The bootstrap."""

import numpy as np
import pytest
import scipy.stats

from bellmax.experiment import (
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)


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


def test_interval_of_two_samples_equals_scipys():
    generator = np.random.default_rng(3)
    x, y = generator.normal(1, 1, 9), generator.normal(0, 2, 7)

    def difference(x, y, axis):
        return x.mean(axis) - y.mean(axis)

    theirs = scipy.stats.bootstrap((x, y), difference, method="percentile", n_resamples=10_000, rng=2, axis=-1)
    ours = bootstrap_interval(x, y, statistic=difference)
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.06)


def test_strata_are_drawn_within_themselves():
    def share(x, y, axis):
        return np.concatenate([x, y], axis).mean(axis)

    # Across strata the mean of five zeros and five ones would vary; within them nothing does.
    assert bootstrap_interval(np.zeros(5), np.ones(5), statistic=share) == (0.5, 0.5)


def test_what_is_not_a_number_is_never_trimmed_away():
    values = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    assert np.isnan(interquartile_mean(values))
    np.testing.assert_array_equal(np.isnan(interquartile_mean(np.stack([values, np.ones(5)]))), [True, False])
    for sample in ((values,), (np.ones(3), values)):
        interval = bootstrap_interval(*sample, statistic=lambda *each, axis: each[0].mean(axis))
        assert np.isnan(interval).all()
    assert np.isnan(probability_of_improvement(values, np.zeros(2)))
    assert np.isnan(probability_of_improvement(np.zeros(2), values))
    assert np.isnan(performance_profile(values, np.zeros(3))).all()


def test_probability_of_improvement_by_hand():
    # Of six pairs three are greater (1 > 0, 2 > 0, 2 > 1) and two equal, which count half.
    assert probability_of_improvement(np.array([1.0, 2.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(4 / 6)
    assert probability_of_improvement(np.ones(3), np.ones(4)) == 0.5
    assert probability_of_improvement(np.array([np.inf]), np.array([5.0])) == 1


@pytest.mark.parametrize("axis", [0, 1])
def test_probability_of_improvement_is_mann_and_whitneys_u(axis):
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 4, (3, 6)).astype(float), generator.integers(0, 5, (3, 8)).astype(float)
    u = scipy.stats.mannwhitneyu(x, y, axis=1).statistic
    turned = (x.T, y.T) if axis == 0 else (x, y)
    ours = probability_of_improvement(*turned, axis=axis)
    np.testing.assert_allclose(ours, u / 48, rtol=1e-12)
    np.testing.assert_allclose(probability_of_improvement(*turned[::-1], axis=axis), 1 - ours, rtol=1e-12)


def test_profile_equals_a_loop_and_falls():
    values = np.random.default_rng(0).integers(0, 5, (2, 7)).astype(float)
    thresholds = np.array([[-1.0, 0.0, 1.5], [4.0, 2.0, 9.0]])
    shares = performance_profile(values, thresholds)
    assert shares.shape == (2, 3, 2)
    for place, threshold in np.ndenumerate(thresholds):
        for row in range(2):
            assert shares[(*place, row)] == sum(value > threshold for value in values[row]) / 7
    np.testing.assert_array_equal(performance_profile(values.T, thresholds, axis=0), shares)
    assert np.all(np.diff(performance_profile(values[0], np.linspace(-1, 6, 50))) <= 0)
