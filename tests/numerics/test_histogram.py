"""Counts are those of the definition, in float32 as in float64, in whatever pieces values come."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mobilesdk.numerics import histogram
from mobilesdk.numerics.histogram import Histogram

FLOATS = {dtype: np.dtype(dtype).itemsize * 8 for dtype in ("float16", "float32")}
arrays = st.one_of(
    hnp.arrays(
        dtype,
        st.integers(1, 40),
        elements=st.floats(width=width, allow_nan=False, allow_infinity=False),
    )
    for dtype, width in FLOATS.items()
)


@given(arrays)
def test_every_value_is_in_the_bin_of_its_exact_quotient(values):
    counted = Histogram()
    counted.add(values, float(np.abs(values).max()))
    _, width = counted.magnitudes()
    exact = [floor(Fraction(float(value)) / Fraction(width)) for value in values]
    bins, counts = np.unique(exact, return_counts=True)
    found, centres = counted.bins()
    assert list(found) == list(counts)
    assert list(np.floor(centres / width)) == list(bins)


@pytest.mark.parametrize("dtype", FLOATS)
def test_batches_are_counted_like_the_whole(monkeypatch, dtype):
    values = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    whole, pieces = Histogram(), Histogram()
    whole.add(values, float(np.abs(values).max()))
    monkeypatch.setattr(histogram, "_BATCH_ELEMENTS", 7)
    pieces.add(values, float(np.abs(values).max()))
    assert all(np.array_equal(*pair) for pair in zip(whole.bins(), pieces.bins(), strict=True))
