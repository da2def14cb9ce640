"""Ranges of activations from a stream of values, for static quantization.

The vendors' calibrators forget (moving averages) or keep the last sample only; these observers see
every value once and weigh all of them alike. Their result does not depend on the order of the
values or on how they are split into updates.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import StepFailed

PERCENTILE = 99.999
"""Share of values, in percent, that lie below the upper end (and above the lower end)."""

BINS_PER_SIDE = 1 << 14
_SMALLEST_EXPONENT = -1000  # so that the width itself is a normal float64


class RangeObserver:
    """Collect the range of a tensor over a calibration set.

    ``minmax`` keeps the smallest and the largest value.

    ``percentile`` cuts off the 0.001 % largest and the 0.001 % smallest values. It counts values in
    2 x 16,384 bins around zero whose width is a power of two. When a value falls outside, the width
    doubles and neighbouring bins are merged, which is exact, because the edges nest. Memory is
    256 kB for any number of values. The ends are edges of bins that lie outwards of the exact
    quantile, by at most 1/8,192 of the largest absolute value seen.

    Args:
        kind: ``minmax`` or ``percentile``.
    """

    def __init__(self, kind: Literal["minmax", "percentile"] = "minmax") -> None:
        self._minimum = math.inf
        self._maximum = -math.inf
        self._histogram = _Histogram() if kind == "percentile" else None

    def update(self, values: NDArray[Any], tensor: str, sample: int) -> None:
        """Take in values of one sample.

        Args:
            values: Any shape, any real dtype.
            tensor: Name of the tensor or of its op, for messages.
            sample: Place of the sample in the calibration set, from 0, for messages.

        Raises:
            StepFailed: A value is not finite.
        """
        flat = np.asarray(values).ravel()
        if flat.size == 0:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            bad = int(np.count_nonzero(~np.isfinite(flat)))
            raise StepFailed(
                f"{bad} of {flat.size} activations of {tensor} are not finite in sample {sample} "
                "of the calibration set, so they have no range.",
                hint="replace infinite masks by a finite number such as -1e4, and check the "
                "calibration set with the float model.",
            )
        self._minimum = min(self._minimum, low)
        self._maximum = max(self._maximum, high)
        if self._histogram is not None:
            self._histogram.add(flat.astype(np.float64), max(-low, high))

    def range(self) -> tuple[float, float]:
        """Give the lower and the upper end; the lower is at most the upper.

        Raises:
            StepFailed: There were no values.
        """
        if self._minimum > self._maximum:
            raise StepFailed(
                "No activations were observed, so there is no range.",
                hint="give a calibration set that reaches every part of the model.",
            )
        if self._histogram is None:
            return self._minimum, self._maximum
        low, high = self._histogram.ends(PERCENTILE / 100)
        return max(low, self._minimum), min(high, self._maximum)


class _Histogram:
    """Counts of values in bins ``[i * width, (i + 1) * width)`` with a width of a power of two."""

    def __init__(self) -> None:
        self._counts = np.zeros(2 * BINS_PER_SIDE, dtype=np.int64)
        self._exponent: int | None = None

    def add(self, values: NDArray[np.float64], abs_max: float) -> None:
        """Count finite values of which the largest absolute one is ``abs_max``."""
        self._widen(abs_max)
        bins = np.floor(np.ldexp(values, -self._width_exponent)).astype(np.int64)
        self._counts += np.bincount(bins + BINS_PER_SIDE, minlength=2 * BINS_PER_SIDE)

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
