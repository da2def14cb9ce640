"""Limits are never wider than Apple's, and what no result can meet is told from what one can."""

from __future__ import annotations

import numpy as np
import pytest

from tests.coreml.conformance.limits import (
    apple_limits,
    differing,
    float16_limits,
    is_of_other_type,
)

APPLE = (1e-4, 1e-5)


@pytest.mark.parametrize("largest", [0.0, 1.0, 1e3, 6e4])
def test_limits_for_float16_are_never_wider_than_apples(largest: float) -> None:
    own = float16_limits(np.array([largest, np.inf]))
    apple = apple_limits(True, *APPLE)
    assert own[0] <= apple[0]
    assert own[1] <= apple[1]


def test_apples_limits_are_those_of_the_test_for_float32() -> None:
    assert apple_limits(False, *APPLE) == APPLE
    assert apple_limits(True, 1.0, 1.0) == (100.0, 100.0)


def test_the_part_that_differs_counts_elements() -> None:
    expected = np.array([1.0, np.nan, 0.0, 2.0])
    assert differing(expected, expected, APPLE) == 0
    assert differing(np.array([1.0, np.nan, 1.0, 2.0]), expected, APPLE) == 0.25
    assert differing(np.zeros((0,)), np.zeros((0,)), APPLE) == 0


def test_what_lies_between_two_float16_numbers_cannot_be_met_in_float16() -> None:
    value, between = np.array([1.0], np.float16), np.array([1.0004], np.float32)
    assert is_of_other_type(value, between, APPLE, 0.0)
    assert not is_of_other_type(value, np.array([1 + 2**-10], np.float32), APPLE, 0.0)


def test_what_was_rounded_to_float16_cannot_be_met_in_float32() -> None:
    value, rounded = np.array([1.0004], np.float32), np.array([1.0], np.float16)
    assert is_of_other_type(value, rounded, APPLE, 0.0)
    assert not is_of_other_type(value, rounded.astype(np.float32), APPLE, 0.0)
    assert not is_of_other_type(np.array([1.002], np.float32), rounded, APPLE, 0.0)
