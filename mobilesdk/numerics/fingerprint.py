"""Numbers that recognise a weight in a written file, whatever the order of its axes there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.artifact import AxisOrder, Fingerprint

_HALF = 32
_LOW_BITS = np.uint64(2**_HALF - 1)


def fingerprint(values: NDArray[Any]) -> Fingerprint:
    """Summarise an array in a way that no permutation of its axes changes.

    Sums are accumulated in float64. Elements that are not finite count as 0, so that the record can
    be written as JSON; `WeightInfo.finite` tells of them.

    Args:
        values: Any shape, any real dtype.

    Returns:
        Number of elements, sum of absolute values, sum of squares, largest absolute value, sum, and
        the order of the values along each axis.
    """
    numbers = np.array(values, dtype=np.float64)
    numbers[~np.isfinite(numbers)] = 0.0
    total = float(numbers.sum())
    axes = _orders(numbers)
    magnitudes = np.abs(numbers, out=numbers)
    return Fingerprint(
        elements=magnitudes.size,
        abs_sum=float(magnitudes.sum()),
        square_sum=float(np.square(magnitudes).sum()),
        abs_max=float(magnitudes.max(initial=0.0)),
        sum=total,
        axes=axes,
    )


def _orders(numbers: NDArray[np.float64]) -> tuple[AxisOrder, ...]:
    """Give the order along each axis; two values or slices that change places change one of them.

    Two values in different places differ in their place along some axis, so that two of its slices
    get other sums. Slices of equal sums can change places unseen.
    """
    if numbers.size == 0:
        return ()
    orders = []
    for axis, size in enumerate(numbers.shape):
        if size > 1:
            others = tuple(other for other in range(numbers.ndim) if other != axis)
            sums = numbers.sum(axis=others)
            first, second = _place_numbers(size)
            orders.append(
                AxisOrder(
                    size=size,
                    first=float((first * sums).sum()),
                    second=float((second * sums).sum()),
                    norm=float(np.sqrt(np.square(sums).sum())),
                )
            )
    return tuple(sorted(orders, key=lambda order: (order.size, order.first, order.second)))


def _place_numbers(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give two numbers of -1 … 1 for each place, spread as if drawn: the halves of SplitMix64."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    halves = mixed >> np.uint64(_HALF), mixed & _LOW_BITS
    first, second = (half.astype(np.float64) / 2 ** (_HALF - 1) - 1.0 for half in halves)
    return first, second
