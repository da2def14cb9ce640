"""Ranges follow from all values, in any order and any split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mobilesdk.errors import StepFailed
from mobilesdk.numerics.ranges import PERCENTILE, RangeObserver

KINDS = ("minmax", "moving_average", "percentile", "mse", "entropy")
ORDERLESS = tuple(kind for kind in KINDS if kind != "moving_average")
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


@pytest.mark.parametrize("kind", ORDERLESS)
@given(values=streams, cuts=st.lists(st.integers(0, 200), max_size=4), seed=st.integers(0, 9))
def test_neither_order_nor_split_matters(kind, values, cuts, seed):
    shuffled = np.random.default_rng(seed).permutation(values)
    parts = np.split(shuffled, sorted(min(cut, values.size) for cut in cuts))
    assert observed(kind, *parts) == observed(kind, values)


@pytest.mark.parametrize("kind", KINDS)
@given(values=streams)
def test_no_range_leaves_the_extremes(kind, values):
    low, high = observed(kind, values)
    assert min(values.min(), 0) <= low <= high <= max(values.max(), 0) or (low, high) == (
        values.min(),
        values.max(),
    )


def test_the_moving_average_moves_by_a_tenth_for_each_sample():
    parts = [np.array([-1.0, 2.0]), np.array([-3.0, 12.0]), np.array([-1.0, 2.0])]
    low, high = observed("moving_average", *parts)
    assert low == pytest.approx(-1.18)  # -1, then -1.2, then a tenth of the way back
    assert high == pytest.approx(2.9)


def test_updates_of_one_sample_count_as_one():
    """Several values can share a range: each sample then comes in several updates."""
    observer = RangeObserver("moving_average")
    for sample, values in ((0, [1.0]), (0, [-4.0]), (1, [0.0]), (1, [11.0])):
        observer.update(np.array(values), "x", sample)
    assert observer.range() == pytest.approx((-3.6, 2.0))


def rounding_error(values, low, high, bits, symmetric):
    low, high = min(low, 0.0), max(high, 0.0)
    if symmetric:
        scale = max(high, -low) / (2 ** (bits - 1) - 1)
        codes = np.clip(np.rint(values / scale), 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
        return np.mean((codes * scale - values) ** 2)
    scale = (high - low) / (2**bits - 1)
    zero = np.rint(-low / scale)
    codes = np.clip(np.rint(values / scale) + zero, 0, 2**bits - 1)
    return np.mean(((codes - zero) * scale - values) ** 2)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shape", ["normal", "laplace", "relu", "outlier"])
def test_mse_has_the_least_error_of_all_shares_of_the_range(shape, bits, symmetric):
    generator = np.random.default_rng(4)
    values = generator.laplace(size=40_000) if shape == "laplace" else generator.normal(size=40_000)
    if shape == "relu":
        values = np.maximum(values, 0)
    if shape == "outlier":
        values[7] = 30.0
    observer = RangeObserver("mse", bits, symmetric=symmetric and shape != "relu")
    observer.update(values, "x", 0)
    found = rounding_error(values, *observer.range(), bits, symmetric and shape != "relu")
    extremes = values.min(), values.max()
    for share in np.linspace(0.1, 1.0, 91):
        other = rounding_error(
            values, share * extremes[0], share * extremes[1], bits, symmetric and shape != "relu"
        )
        assert found <= 1.03 * other


def test_mse_clips_a_laplacian_where_the_theory_does():
    """4 bits, 7 steps on each side: a twelfth of the squared step and the tails, 2 exp(-end).

    The least of their sum lies where the end is 588 exp(-end).
    """
    observer = RangeObserver("mse", 4, symmetric=True)
    observer.update(np.random.default_rng(0).laplace(size=1_000_000), "x", 0)
    assert observer.range()[1] == pytest.approx(4.797, abs=0.05)


@pytest.mark.parametrize("kind", ["mse", "entropy"])
def test_what_is_uniform_is_kept_and_long_tails_are_clipped(kind):
    generator = np.random.default_rng(6)
    even = generator.uniform(-1, 1, 200_000)
    assert observed(kind, even) == pytest.approx((-1, 1), abs=0.02)
    long = generator.normal(size=200_000) ** 3
    low, high = observed(kind, long)
    assert np.quantile(long, 0.995) < high < 0.9 * long.max()
    assert 0.9 * long.min() < low < np.quantile(long, 0.005)


def test_zeros_behind_a_relu_do_not_decide_the_entropy():
    values = np.maximum(np.random.default_rng(0).laplace(size=200_000), 0)
    assert observed("entropy", values)[1] > np.quantile(values, 0.999)


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
