"""How many channels go, and that it is never less than asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.errors import CompressionIncomplete
from mobilesdk.graph.pruning.counts import Asked, apportion, rank, steps_of
from mobilesdk.graph.pruning.dimensions import Dimension


def asked(width: int, ratio: float, round_to: int = 1, unit_width: int = 1) -> Asked:
    units = tuple(range(1, width // unit_width + 1))
    dimension = Dimension((f"layer{width}",), units, unit_width)
    return Asked(dimension, ratio, steps_of(dimension, round_to))


def test_what_stays_is_a_multiple() -> None:
    assert asked(32, 0.1, 8).steps == (0, 8, 16, 24)
    assert asked(30, 0.1, 8).steps == (0, 6, 14, 22)
    assert asked(8, 0.1, 8).steps == (0,)
    assert asked(12 * 64, 0.1, 8, unit_width=64).steps == tuple(range(12))
    assert asked(12 * 4, 0.1, 8, unit_width=4).steps == (0, 2, 4, 6, 8, 10)


def test_the_largest_remainders_are_rounded_up_until_the_total_is_reached() -> None:
    # 9.6 of 96 → 8 or 16; 3.2 of 32 → 0 or 8; 24 of 240 → 24: 36.8 are asked
    assert apportion([asked(96, 0.1, 8), asked(32, 0.1, 8), asked(240, 0.1, 8)]) == [8, 8, 24]
    assert apportion([asked(100, 0.25), asked(8, 0.25)]) == [25, 2]


def test_a_total_out_of_reach_names_what_is_too_narrow() -> None:
    with pytest.raises(CompressionIncomplete, match=r"layer8 \(8 channels\)"):
        apportion([asked(64, 0.25, 8), asked(8, 0.25, 8)])
    with pytest.raises(CompressionIncomplete, match="too narrow"):
        rank([asked(8, 0.25, 8)], [np.ones(8)])


@given(
    widths=st.lists(st.integers(2, 60), min_size=1, max_size=8),
    ratio=st.floats(0.01, 0.9),
    round_to=st.sampled_from([1, 2, 4, 8]),
)
def test_no_less_than_asked_goes_and_none_takes_two_steps_more(
    widths: list[int], ratio: float, round_to: int
) -> None:
    all_asked = [asked(width, ratio, round_to) for width in widths]
    try:
        planned = apportion(all_asked)
    except CompressionIncomplete:
        return
    assert sum(planned) >= ratio * sum(widths) - 1e-6
    for each, count in zip(all_asked, planned, strict=True):
        assert count in each.steps
        assert count < each.dimension.width
        assert count - each.channels < round_to


def test_the_network_loses_its_least_important_channels_wherever_they_are() -> None:
    flat, uneven = np.ones(8), np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 3.0])
    assert rank([asked(8, 0.25), asked(8, 0.25)], [flat, uneven]) == [0, 4]
    assert rank([asked(8, 0.25, 2), asked(8, 0.25, 2)], [flat, uneven]) == [0, 4]
    # a unit of many channels counts by channel
    assert rank([asked(8, 0.5, unit_width=4), asked(8, 0.5)], [np.ones(2), flat]) == [1, 4]
