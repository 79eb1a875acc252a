"""Statistics of a few runs."""

import numpy as np


def bootstrap_interval(
    values: np.ndarray, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Returns a percentile bootstrap interval of the mean.

    Args:
        values: Independent figures, such as the mean return of each seed.
        level: Coverage.
        resamples: How often to draw as many values as there are, with replacement.
        seed: Randomness of the draws; the same seed gives the same interval.

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
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
