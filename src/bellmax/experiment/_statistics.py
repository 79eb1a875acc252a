"""Statistics of a few runs."""

from collections.abc import Callable

import numpy as np


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns the mean of the middle half: a quarter of the values, rounded down, is left out at each end.

    Args:
        values: Independent figures, such as the mean return of each seed.
        axis: Along which they lie.

    Returns:
        The means, without that axis.

    Example:
        >>> float(interquartile_mean(np.array([0.0, 7.0, 8.0, 9.0, 100.0])))
        8.0

    References:
        Agarwal et al., *Deep Reinforcement Learning at the Edge of the Statistical Precipice*, 2021, arXiv:2108.13264.
    """
    values = np.moveaxis(np.sort(np.asarray(values, np.float64), axis=axis), axis, -1)
    cut = values.shape[-1] // 4
    return values[..., cut : values.shape[-1] - cut].mean(axis=-1)


def bootstrap_interval(
    values: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    statistic: Callable[..., np.ndarray] = np.mean,
) -> tuple[float, float]:
    """Returns a percentile bootstrap interval of the mean, or of another statistic.

    Args:
        values: Independent figures, such as the mean return of each seed.
        level: Coverage.
        resamples: How often to draw as many values as there are, with replacement.
        seed: Randomness of the draws; the same seed gives the same interval.
        statistic: What is bounded; takes an array and `axis`, as `np.mean` does.

    Returns:
        Lower and upper end; both are the value itself where there is one only.

    Example:
        >>> bootstrap_interval(np.array([1.0, 1.0, 1.0]))
        (1.0, 1.0)

    References:
        Efron, *Bootstrap Methods: Another Look at the Jackknife*, 1979. Agarwal et al., *Deep Reinforcement Learning at
        the Edge of the Statistical Precipice*, 2021, arXiv:2108.13264.
    """
    values = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(statistic(values[draws], axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
