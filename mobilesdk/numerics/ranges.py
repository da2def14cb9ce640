"""Ranges of activations from a stream of values, for static quantization.

The vendors' calibrators forget (moving averages) or keep the last sample only. These observers see
every value once; all but ``moving_average`` weigh all values alike, and their result does not
depend on the order of the values or on how they are split into updates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.scheme import Observer
from mobilesdk.errors import StepFailed
from mobilesdk.numerics.clipping import least_divergence, least_error
from mobilesdk.numerics.histogram import Histogram

PERCENTILE = 99.999
"""Share of values, in percent, that lie below the upper end (and above the lower end)."""

AVERAGING_CONSTANT = 0.1
"""Share that each sample's extremes have in the moving average."""

_SMALLEST_HALF = 2.0**-24  # scales are float16


class RangeObserver:
    """Collect the range of a tensor over a calibration set.

    ``minmax`` keeps the smallest and the largest value.

    ``moving_average`` averages the smallest and the largest value of each sample, in the order of
    the samples: each one moves the average by a tenth of its distance. Jacob et al. 2018,
    "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    section 3.1.

    ``percentile`` cuts off the 0.001 % largest and the 0.001 % smallest values. The ends are edges
    of bins of a `Histogram` that lie outwards of the exact quantile, by at most 1/8,192 of the
    largest absolute value seen.

    ``mse`` gives the range on whose grid the values are rounded and clipped with the least squared
    error (`least_error`).

    ``entropy`` gives the range whose clipped and rounded distribution diverges least from that of
    the values (`least_divergence`).

    Args:
        kind: One of these.
        bits: Of the grid that the range is for; ``mse`` and ``entropy`` look at it.
        symmetric: Whether the grid has no zero point.
    """

    def __init__(
        self, kind: Observer = "minmax", bits: int = 8, *, symmetric: bool = False
    ) -> None:
        self._kind = kind
        self._levels = 1 << bits
        self._symmetric = symmetric
        self._minimum = math.inf
        self._maximum = -math.inf
        self._averages = _Averages() if kind == "moving_average" else None
        self._histogram = Histogram() if kind in ("percentile", "mse", "entropy") else None

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
        if self._averages is not None:
            self._averages.add(low, high, sample)
        if self._histogram is not None:
            self._histogram.add(flat, max(-low, high))

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
        low, high = self._ends()
        return max(low, self._minimum), min(high, self._maximum)

    def _ends(self) -> tuple[float, float]:
        if self._averages is not None:
            return self._averages.ends()
        if self._histogram is None or self._minimum == self._maximum == 0.0:
            return self._minimum, self._maximum
        if self._kind == "percentile":
            return self._histogram.ends(PERCENTILE / 100)
        if self._kind == "entropy":
            threshold = least_divergence(*self._histogram.magnitudes(), self._levels)
            return -threshold, threshold
        extremes = (self._minimum, self._maximum)
        return least_error(
            *self._histogram.bins(), extremes, self._levels, symmetric=self._symmetric
        )


class _Averages:
    """Moving averages of the extremes of samples, of which each may come in several updates."""

    def __init__(self) -> None:
        self._sample: int | None = None
        self._extremes = (math.inf, -math.inf)
        self._average: tuple[float, float] | None = None

    def add(self, low: float, high: float, sample: int) -> None:
        """Take in the extremes of values of one sample."""
        if sample != self._sample:
            self._average = self.ends() if self._sample is not None else None
            self._sample, self._extremes = sample, (low, high)
        self._extremes = min(low, self._extremes[0]), max(high, self._extremes[1])

    def ends(self) -> tuple[float, float]:
        """Give the averages with the latest sample in them."""
        if self._average is None:
            return self._extremes
        low, high = (
            average + AVERAGING_CONSTANT * (extreme - average)
            for average, extreme in zip(self._average, self._extremes, strict=True)
        )
        return low, high


def grid_without_zero_point(low: float, high: float) -> tuple[float, str]:
    """Give the scale and the type of the 8-bit grid for a range; its zero point is always 0.

    Apple's integer kernels are fastest without zero points. A range that starts at zero has all 256
    levels in ``uint8``, one around zero has them in ``int8``.

    Args:
        low: Lower end of the range.
        high: Upper end of the range.
    """
    if low >= 0:
        scale, element = high / 255, "uint8"
    else:
        scale, element = max(high / 127, -low / 128), "int8"
    return (max(scale, _SMALLEST_HALF) if scale else 1.0), element
