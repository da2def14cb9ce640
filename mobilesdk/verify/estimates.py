"""Figures over samples, with their intervals; arrays are taken in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.parity import Estimate
from mobilesdk.numerics import intervals

_BATCH_ELEMENTS = 1 << 22  # bounds the memory of the float64 copies

Floats = NDArray[np.float64]
Metric = Callable[[NDArray[Any], NDArray[Any]], Floats]


def mean(values: Floats) -> Estimate:
    """Give the mean of ``[N]``, with a bootstrap over samples."""
    return Estimate(
        value=float(values.mean()),
        interval=intervals.bootstrap(values[:, np.newaxis], lambda means: means[:, 0]),
    )


def agreement(shares: Floats) -> Estimate:
    """Give an exact interval if each sample agrees or does not, else a bootstrap over samples."""
    if not np.isin(shares, (0.0, 1.0)).all():
        return mean(shares)
    interval = intervals.clopper_pearson(int(shares.sum()), len(shares))
    return Estimate(value=float(shares.mean()), interval=interval)


def ratio(parts: Floats, wholes: Floats) -> Estimate | None:
    """Give the sum of the parts over that of the wholes, with a bootstrap over samples.

    Args:
        parts: ``[N]``.
        wholes: ``[N]``, not negative; samples where it is 0 tell nothing and are left out.

    Returns:
        The estimate; ``None`` if no sample tells anything.
    """
    pairs = np.stack([parts, wholes], axis=1)[wholes > 0.0]
    return pooled(pairs, lambda sums: sums[:, 0] / sums[:, 1])


def pooled(per_sample: Floats, statistic: Callable[[Floats], Floats]) -> Estimate | None:
    """Give a statistic of means over samples, with a bootstrap over samples.

    Args:
        per_sample: ``[N, K]``.
        statistic: As for `mobilesdk.numerics.intervals.bootstrap`.

    Returns:
        The estimate; ``None`` without samples.
    """
    if not len(per_sample):
        return None
    return Estimate(
        value=float(statistic(per_sample.mean(axis=0, keepdims=True))[0]),
        interval=intervals.bootstrap(per_sample, statistic),
    )


def per_sample(metric: Metric, true: NDArray[Any], seen: NDArray[Any]) -> Floats:
    """Give a metric of each sample, ``[N, …]``."""
    return np.concatenate([metric(a, b) for a, b in batches(true, seen)])


def batches(true: NDArray[Any], seen: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Give both arrays in batches of whole samples."""
    size = max(1, _BATCH_ELEMENTS // max(1, true[:1].size))
    for start in range(0, len(true), size):
        yield true[start : start + size], seen[start : start + size]
