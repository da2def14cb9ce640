"""Where to clip a distribution of values so that the least is lost on a grid of integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CANDIDATES = 128
_MAGNITUDE_BINS = 2048
_STRIDE = 8
_SMALLEST_SHARE = 1e-12


def least_error(
    counts: NDArray[np.int64],
    values: NDArray[np.float64],
    extremes: tuple[float, float],
    levels: int,
    *,
    symmetric: bool,
) -> tuple[float, float]:
    """Find the range on whose grid values have the least mean squared error.

    A value inside errs by a twelfth of the squared step, a zero not at all, and a value outside by
    its squared distance. Each end is one of 128, evenly between zero and the extreme. Banner et al.
    2019, "Post Training 4-bit Quantization of Convolutional Networks for Rapid-Deployment", section
    3, with the measured distribution in place of a Laplacian.

    Args:
        counts: Of each value.
        values: Distinct, ascending.
        extremes: The smallest and the largest value, which the range does not leave.
        levels: Integers of the grid.
        symmetric: Whether the grid has no zero point: it spans as much on both sides of zero, or
            from zero up.

    Returns:
        Lower and upper end; zero lies between them.
    """
    low, high = min(extremes[0], 0.0), max(extremes[1], 0.0)
    shares = np.arange(_CANDIDATES + 1) / _CANDIDATES
    weights = counts / counts.sum()
    rounded = 1.0 - weights[np.abs(values).argmin()]  # zero, if there is one, lies in this bin
    if symmetric and low < 0:
        ends = shares[1:] * max(high, -low)
        step = ends / (levels // 2 - 1)
        cost = _above(ends, values, weights) + _above(ends, -values, weights)
        best = ends[np.argmin(rounded * step**2 / 12 + cost)]
        return -float(best), float(best)
    lows, highs = shares * low, shares * high
    step = (highs[None, :] - lows[:, None]) / (levels - 1)
    cost = _above(-lows, -values, weights)[:, None] + _above(highs, values, weights)[None, :]
    at_low, at_high = np.unravel_index(np.argmin(rounded * step**2 / 12 + cost), step.shape)
    return float(lows[at_low]), float(highs[at_high])


def _above(
    ends: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the weighted sum of the squared distances of the values above each end."""
    cost: NDArray[np.float64] = np.clip(values[None, :] - ends[:, None], 0.0, None) ** 2 @ weights
    return cost


def least_divergence(counts: NDArray[np.int64], width: float, levels: int) -> float:
    """Find the magnitude beyond which clipping loses the least information.

    Of thresholds in steps of 1/256 of the range: the one for which the distribution of magnitudes,
    what lies beyond put into its last bin, has the least Kullback-Leibler divergence from the same
    distribution spread evenly within each of ``levels / 2`` intervals. The bin of zero counts like
    the next one: the zeros behind a ReLU would outweigh all else. Migacz 2017, "8-bit Inference
    with TensorRT", and the calibrator of NVIDIA's pytorch-quantization.

    Args:
        counts: Of magnitudes, in bins from zero on; their number is a power of two.
        width: Of a bin.
        levels: Integers of the grid, on both sides of zero.
    """
    merged = max(counts.size // _MAGNITUDE_BINS, 1)
    bins = counts.reshape(-1, merged).sum(1)
    used = int(np.flatnonzero(bins)[-1]) + 1
    intervals = min(levels // 2, bins.size)
    if used <= intervals:
        return used * merged * width
    bins[0] = bins[1]
    candidates = [used, *range(intervals, used, _STRIDE)[::-1]]  # the widest of equal ones is taken
    best = min(candidates, key=lambda end: _divergence(bins, end, intervals))
    return float(best * merged * width)


def _divergence(bins: NDArray[np.int64], end: int, intervals: int) -> float:
    kept = bins[:end].astype(np.float64)
    reference = kept.copy()
    reference[-1] += bins[end:].sum()
    owner = np.arange(end) * intervals // end
    mass = np.bincount(owner, kept, intervals)
    filled = np.bincount(owner, kept > 0, intervals)
    spread = np.where(kept > 0, (mass / np.maximum(filled, 1))[owner], 0.0)
    reference /= reference.sum()
    spread /= max(spread.sum(), 1.0)
    present = reference > 0
    ratio = reference[present] / np.maximum(spread[present], _SMALLEST_SHARE)
    return float((reference[present] * np.log(ratio)).sum())
