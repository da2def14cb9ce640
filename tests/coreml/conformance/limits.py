"""How far results may be from what Apple's tests expect, and when no result could be closer."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT16_OF_LARGEST, FLOAT16_ABSOLUTE, FLOAT16_RELATIVE, FLOAT32_LIMIT = 5e-3, 0.5, 1e-2, 1e-4
# By what Apple's comparison widens the limits of a test for programs in float16, and to what.
APPLE_FLOAT16_FACTOR, APPLE_FLOAT16_ABSOLUTE, APPLE_FLOAT16_RELATIVE = 100.0, 0.5, 0.05

Limits = tuple[float, float]  # absolute, relative


def apple_limits(widened: bool, atol: float, rtol: float) -> Limits:
    """Give the limits of Apple's own comparison, absolute and relative."""
    if not widened:
        return atol, rtol
    return (
        max(atol * APPLE_FLOAT16_FACTOR, APPLE_FLOAT16_ABSOLUTE),
        max(rtol * APPLE_FLOAT16_FACTOR, APPLE_FLOAT16_RELATIVE),
    )


def float16_limits(expected: Any) -> Limits:
    """Give this project's limits for float16."""
    finite = np.abs(expected[np.isfinite(expected)].astype(np.float64))
    absolute = FLOAT16_OF_LARGEST * float(finite.max(initial=0.0))
    return min(absolute, FLOAT16_ABSOLUTE), FLOAT16_RELATIVE


def differing(value: Any, expected: Any, limits: Limits) -> float:
    """Give the part of the elements that differ by more."""
    close = np.isclose(
        value.astype(np.float64),
        expected.astype(np.float64),
        atol=limits[0],
        rtol=limits[1],
        equal_nan=True,
    )
    return float((~close).mean()) if close.size else 0.0


def is_of_other_type(value: Any, expected: Any, limits: Limits, allowed: float) -> bool:
    """Tell if float16 on one side, and not on the other, accounts for the difference.

    Of float16 results, the number nearest to what is expected is outside of the limits. Or float32
    results are, once rounded to the float16 of what is expected, within them.
    """
    if value.dtype == np.float16:
        return differing(expected.astype(np.float16), expected, limits) > allowed
    rounded = value.astype(np.float16)
    return expected.dtype == np.float16 and differing(rounded, expected, limits) <= allowed
