"""Ranges follow from all values, in any order and any split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mobilesdk.errors import StepFailed
from mobilesdk.numerics.ranges import PERCENTILE, RangeObserver

KINDS = ("minmax", "percentile")
streams = hnp.arrays(
    np.float32,
    st.integers(1, 200),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def observed(kind, *parts):
    observer = RangeObserver(kind)
    for sample, part in enumerate(parts):
        observer.update(part, "conv2d_3", sample)
    return observer.range()


@given(streams)
def test_minmax_is_the_exact_range(values):
    assert observed("minmax", values) == (values.min(), values.max())


@pytest.mark.parametrize("kind", KINDS)
@given(values=streams, cuts=st.lists(st.integers(0, 200), max_size=4), seed=st.integers(0, 9))
def test_neither_order_nor_split_matters(kind, values, cuts, seed):
    shuffled = np.random.default_rng(seed).permutation(values)
    parts = np.split(shuffled, sorted(min(cut, values.size) for cut in cuts))
    assert observed(kind, *parts) == observed(kind, values)


@given(streams)
def test_few_values_are_never_cut(values):
    """0.001 % of less than 100,000 values is none of them."""
    assert observed("percentile", values) == observed("minmax", values)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 3.7e20])
def test_percentile_is_the_quantile_to_within_a_bin(scale):
    generator = np.random.default_rng(1)
    values = (generator.standard_normal(400_000) * scale + 2 * scale).astype(np.float32)
    low, high = observed("percentile", *np.array_split(values, 9))
    exact_low, exact_high = np.percentile(values.astype(np.float64), [100 - PERCENTILE, PERCENTILE])
    width = np.abs(values).max() / 8192
    ordered = np.sort(values)
    assert low <= ordered[4] <= low + width
    assert high - width <= ordered[-5] <= high
    assert low == pytest.approx(exact_low, abs=0.1 * scale)
    assert high == pytest.approx(exact_high, abs=0.1 * scale)


def test_bins_that_widen_lose_nothing():
    """Values that grow from part to part make the bins merge again and again."""
    values = np.random.default_rng(5).standard_normal(400_000) ** 3
    growing = values[np.argsort(np.abs(values))]
    widened = observed("percentile", *np.array_split(growing, 40))
    assert widened == observed("percentile", values)
    ordered = np.sort(values)
    width = np.abs(values).max() / 8192
    assert ordered[4] - width <= widened[0] <= ordered[4]
    assert ordered[-5] <= widened[1] <= ordered[-5] + width


def test_percentile_drops_single_outliers_on_both_sides_and_minmax_keeps_them():
    values = np.random.default_rng(2).uniform(-1, 1, 300_000)
    values[0], values[1] = -500.0, 800.0
    assert observed("minmax", values) == (-500.0, 800.0)
    low, high = observed("percentile", values)
    assert -1.2 < low <= -0.99
    assert 0.99 <= high < 1.2


def test_a_clamped_activation_keeps_its_clamp():
    values = np.clip(np.random.default_rng(3).standard_normal(200_000) * 9, 0, 6)
    assert observed("percentile", values) == (0.0, 6.0)


def test_all_zero_and_zero_first():
    zeros = np.zeros(150_000)
    assert observed("percentile", zeros) == (0.0, 0.0)
    later = np.full(150_000, 5.0)
    assert observed("percentile", zeros, later) == (0.0, 5.0)


def test_the_smallest_numbers_do_not_underflow():
    tiny = np.full(200_000, 5e-324)
    assert observed("percentile", tiny) == (5e-324, 5e-324)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(kind, bad):
    named = "1 of 3 activations of conv2d_3 are not finite in sample 1 of"
    with pytest.raises(StepFailed, match=named) as caught:
        observed(kind, np.ones(3), np.array([0.0, bad, 1.0]))
    assert "infinite masks" in caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_no_values_have_no_range(kind):
    with pytest.raises(StepFailed, match="No activations"):
        observed(kind, np.zeros((0, 4)))
