"""Counts of a stream of values whose extremes are not known beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS_PER_SIDE = 1 << 14
_SMALLEST_EXPONENT = -1000  # so that the width itself is a normal float64
_BATCH_ELEMENTS = 1 << 16  # what is computed on the way stays in the processor's cache
_FLOAT32_EXPONENTS = range(-126, 1)  # of widths by which float32 numbers are divided exactly


class Histogram:
    """Counts of values in bins ``[i * width, (i + 1) * width)`` with a width of a power of two."""

    def __init__(self) -> None:
        """Start without any value."""
        self._counts = np.zeros(2 * BINS_PER_SIDE, dtype=np.int64)
        self._exponent: int | None = None

    def add(self, values: NDArray[Any], abs_max: float) -> None:
        """Count finite values, ``[N]``, of which the largest absolute one is ``abs_max``."""
        self._widen(abs_max)
        dtype = self._exact_dtype(values.dtype)
        per_width = dtype.type(math.ldexp(1.0, -self._width_exponent))
        for start in range(0, values.size, _BATCH_ELEMENTS):
            scaled = values[start : start + _BATCH_ELEMENTS].astype(dtype)
            scaled *= per_width
            bins = np.floor(scaled, out=scaled).astype(np.intp)
            bins += BINS_PER_SIDE
            self._counts += np.bincount(bins, minlength=2 * BINS_PER_SIDE)

    def _exact_dtype(self, given: np.dtype[Any]) -> np.dtype[Any]:
        """Give the type in which dividing by the width, a power of two, rounds nothing."""
        exact = given in (np.float32, np.float16) and self._width_exponent in _FLOAT32_EXPONENTS
        return np.dtype(np.float32 if exact else np.float64)

    @property
    def _width_exponent(self) -> int:
        return self._exponent if self._exponent is not None else 0

    def _widen(self, abs_max: float) -> None:
        """Make the bins wide enough for ``abs_max``; all-zero values need no width."""
        if abs_max == 0.0:
            return
        # abs_max < 2 ** frexp exponent, so BINS_PER_SIDE bins of this width reach beyond it.
        needed = math.frexp(abs_max)[1] - int(math.log2(BINS_PER_SIDE))
        needed = max(needed, _SMALLEST_EXPONENT)
        if self._exponent is None:
            self._exponent = needed
        while self._exponent < needed:
            self._merge_neighbours()
            self._exponent += 1

    def _merge_neighbours(self) -> None:
        half = BINS_PER_SIDE // 2
        pairs = self._counts.reshape(-1, 2).sum(axis=1)
        self._counts = np.zeros_like(self._counts)
        self._counts[half : half + pairs.size] = pairs

    def magnitudes(self) -> tuple[NDArray[np.int64], float]:
        """Give the counts of absolute values in bins from zero on, and the width of a bin."""
        negative, positive = self._counts[:BINS_PER_SIDE][::-1], self._counts[BINS_PER_SIDE:]
        return positive + negative, math.ldexp(1.0, self._width_exponent)

    def bins(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the counts of the bins that hold values, and the centres of these bins."""
        held = np.flatnonzero(self._counts)
        return self._counts[held], np.ldexp(held - BINS_PER_SIDE + 0.5, self._width_exponent)

    def ends(self, share: float) -> tuple[float, float]:
        """Give the bin edges outwards of the ``1 - share`` and the ``share`` quantile."""
        total = int(self._counts.sum())
        outside = math.floor((1.0 - share) * total)
        first = int(np.searchsorted(np.cumsum(self._counts), outside, side="right"))
        last = self._counts.size - int(
            np.searchsorted(np.cumsum(self._counts[::-1]), outside, side="right")
        )
        width = math.ldexp(1.0, self._width_exponent)
        return (first - BINS_PER_SIDE) * width, (last - BINS_PER_SIDE) * width
