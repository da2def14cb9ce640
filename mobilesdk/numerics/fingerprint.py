"""Numbers that recognise a weight in a written file, whatever the order of its axes there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.artifact import Fingerprint


def fingerprint(values: NDArray[Any]) -> Fingerprint:
    """Summarise an array in a way that no permutation or reshaping of its axes changes.

    Sums are accumulated in float64. Elements that are not finite count as 0, so that the record can
    be written as JSON; `WeightInfo.finite` tells of them.

    Args:
        values: Any shape, any real dtype.

    Returns:
        Number of elements, sum of absolute values, sum of squares, largest absolute value, sum.
    """
    numbers = np.array(values, dtype=np.float64).ravel()
    numbers[~np.isfinite(numbers)] = 0.0
    total = float(numbers.sum())
    magnitudes = np.abs(numbers, out=numbers)
    return Fingerprint(
        elements=magnitudes.size,
        abs_sum=float(magnitudes.sum()),
        square_sum=float(np.square(magnitudes).sum()),
        abs_max=float(magnitudes.max(initial=0.0)),
        sum=total,
    )
