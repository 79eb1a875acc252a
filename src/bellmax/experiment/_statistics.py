"""Statistics of a few runs. What is not a number stays visible: it makes the figure not a number."""

from collections.abc import Callable

import numpy as np

_DRAWN_AT_ONCE = 10_000_000
"""Values that a bootstrap holds in memory, however many there are to draw from."""


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns the mean of the middle half: a quarter of the values, rounded down, is left out at each end.

    Args:
        values: Independent figures, such as the mean return of each seed.
        axis: Along which they lie.

    Returns:
        The means, without that axis; not a number where any of the values is none.

    Example:
        >>> float(interquartile_mean(np.array([0.0, 7.0, 8.0, 9.0, 100.0])))
        8.0

    References:
        Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, 2021, arXiv:2108.13264.
    """
    values = np.moveaxis(np.sort(np.asarray(values, np.float64), axis=axis), axis, -1)
    cut = values.shape[-1] // 4
    means = values[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return np.where(np.isnan(values[..., -1]), np.nan, means)  # sorting puts NaN last, where it would be left out


def probability_of_improvement(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    r"""Returns how probable it is that a run of one agent beats a run of another.

    $$P(X > Y) = \frac{1}{NM} \sum_{i=1}^{N} \sum_{j=1}^{M} [x_i > y_j] + \tfrac{1}{2} [x_i = y_j]$$

    It is Mann and Whitney's U over NM: 1/2 where neither is better. It says how often, not by how much.

    Args:
        x: Figures of N runs of the first agent, such as the mean return of each seed.
        y: Figures of M runs of the second, independent of them.
        axis: Along which the runs lie in both.

    Returns:
        The probabilities, without that axis; not a number where any of the figures is none.

    Example:
        >>> float(probability_of_improvement(np.array([1.0, 3.0]), np.array([1.0, 2.0])))
        0.625

    References:
        Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, 2021, arXiv:2108.13264.
    """
    x, y = (np.moveaxis(np.asarray(each, np.float64), axis, -1) for each in (x, y))
    one, other = x[..., :, None], y[..., None, :]
    share = ((one > other).mean((-1, -2)) + (one >= other).mean((-1, -2))) / 2
    return np.where(np.isnan(x).any(-1) | np.isnan(y).any(-1), np.nan, share)


def performance_profile(values: np.ndarray, thresholds: np.ndarray, axis: int = -1) -> np.ndarray:
    r"""Returns the share of runs that score above each threshold.

    $$\hat{F}(\tau) = \frac{1}{N} \sum_{i=1}^{N} [x_i > \tau]$$

    Args:
        values: Figures of N runs, such as the mean return of each seed.
        thresholds: The $\tau$, in the units of the figures; any shape.
        axis: Along which the runs lie.

    Returns:
        The shares: the axes of `thresholds`, then those of `values` without the one given; not a number where any
        of the figures is none.

    Example:
        >>> performance_profile(np.array([1.0, 2.0, 2.0, 4.0]), np.array([0.0, 2.0, 4.0])).tolist()
        [1.0, 0.25, 0.0]

    References:
        Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, 2021, arXiv:2108.13264.
    """
    values = np.moveaxis(np.asarray(values, np.float64), axis, -1)
    thresholds = np.asarray(thresholds, np.float64).reshape(np.shape(thresholds) + (1,) * values.ndim)
    return np.where(np.isnan(values).any(-1), np.nan, (values > thresholds).mean(axis=-1))


def bootstrap_interval(
    *samples: np.ndarray,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    statistic: Callable[..., np.ndarray] = np.mean,
) -> tuple[float, float]:
    """Returns a percentile bootstrap interval of the mean, or of another statistic of one or several samples.

    Several samples make the bootstrap stratified: runs are drawn anew within each of them, never across. Each is, for
    example, an agent that is compared with another, or an environment among several.

    Args:
        *samples: Independent figures each, such as the mean return of each seed.
        level: Coverage.
        resamples: How often to draw from each sample as many values as it has, with replacement.
        seed: Randomness of the draws; the same seed gives the same interval.
        statistic: What is bounded; takes an array a sample, `(resamples, values)`, and `axis=1`, as `np.mean` does.

    Returns:
        Lower and upper end; not a number where a value is none. One value alone has no spread to draw from: both
        ends are the value itself, which says nothing about other seeds.

    Example:
        >>> bootstrap_interval(np.array([1.0, 1.0, 1.0]))
        (1.0, 1.0)
        >>> better, worse = np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 3.5])
        >>> low, high = bootstrap_interval(better, worse, statistic=probability_of_improvement)
        >>> high
        1.0

    References:
        Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979. Agarwal et al., *Deep Reinforcement Learning at
        the Edge of the Statistical Precipice*, 2021, arXiv:2108.13264.
    """
    strata = [np.asarray(values, np.float64) for values in samples]
    if any(np.isnan(values).any() for values in strata):
        return np.nan, np.nan
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWN_AT_ONCE // sum(map(len, strata)))
    figures = []
    for begin in range(0, resamples, at_once):
        rows = min(at_once, resamples - begin)
        draws = [values[generator.integers(0, len(values), (rows, len(values)))] for values in strata]
        figures.append(statistic(*draws, axis=1))
    low, high = np.quantile(np.concatenate(figures), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
