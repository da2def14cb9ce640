"""How sure a figure is that was measured on a sample: 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
_BATCH_ELEMENTS = 1 << 22  # bounds the memory of one batch of resamples

Interval = tuple[float, float]


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Exact interval for a share: Clopper and Pearson, Biometrika 26 (1934).

    The lower end is the share under which ``successes`` or more have probability
    ``(1 - confidence) / 2``; the upper end is the one under which ``successes`` or fewer have it.
    Both are found by bisection on the sum of binomial probabilities, to about 1e-12.

    Args:
        successes: 0 … trials.
        trials: At least 1.
        confidence: 0 … 1, both excluded.

    Returns:
        Lower and upper end, in 0 … 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    tail = (1.0 - confidence) / 2.0
    lower = _share_with_upper_tail(successes, trials, tail) if successes else 0.0
    failures = trials - successes
    upper = 1.0 - _share_with_upper_tail(failures, trials, tail) if failures else 1.0
    return lower, upper


def _share_with_upper_tail(successes: int, trials: int, tail: float) -> float:
    """Give the share under which ``successes`` or more (at least 1) have probability ``tail``."""
    counts = np.arange(successes, trials + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    log_ways = log_factorials[trials] - log_factorials[counts] - log_factorials[trials - counts]
    low, high = 0.0, 1.0
    while True:
        share = (low + high) / 2.0
        if share in (low, high):
            return share
        log_terms = log_ways + counts * math.log(share) + (trials - counts) * math.log1p(-share)
        if float(np.exp(log_terms).sum()) < tail:
            low = share
        else:
            high = share


def bootstrap(
    per_sample: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Percentile bootstrap over samples, paired: float model and artifact are drawn together.

    For statistics that follow from means over samples. Extremes do not: a resample never holds a
    larger maximum than the sample, so an interval for one would be wrong, and there is none.

    Args:
        per_sample: ``[N, K]``: K quantities of each sample.
        statistic: Gives ``[B]`` from ``[B, K]``, the means of the K quantities in B resamples.
        seed: Of the drawing; the same seed gives the same interval.
        confidence: 0 … 1, both excluded.

    Returns:
        Lower and upper end; ``None`` for fewer than two samples.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    count = per_sample.shape[0]
    if count < 2:
        return None
    generator = np.random.default_rng(seed)
    batch = max(1, _BATCH_ELEMENTS // count)
    results = []
    for start in range(0, RESAMPLES, batch):
        size = min(batch, RESAMPLES - start)
        drawn = generator.multinomial(count, np.full(count, 1.0 / count), size=size)
        results.append(statistic(drawn @ per_sample / count))
    ordered = np.sort(np.concatenate(results))
    outside = math.floor((1.0 - confidence) / 2.0 * RESAMPLES)
    return float(ordered[outside]), float(ordered[RESAMPLES - 1 - outside])
