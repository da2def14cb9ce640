"""A fingerprint recognises a weight after any reordering, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mobilesdk.core.artifact import Fingerprint
from mobilesdk.numerics.fingerprint import fingerprint

weights = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(weights, st.randoms())
def test_no_permutation_of_axes_changes_it(values, random):
    axes = list(range(values.ndim))
    random.shuffle(axes)
    moved = fingerprint(np.ascontiguousarray(values.transpose(axes)))
    assert fingerprint(values).distance(moved) < 1e-12


@given(weights)
def test_the_values_are_the_plain_sums(values):
    exact = values.astype(np.float64)
    found = fingerprint(values)
    assert found.elements == values.size
    assert found.abs_sum == pytest.approx(np.abs(exact).sum(), rel=1e-12)
    assert found.square_sum == pytest.approx((exact**2).sum(), rel=1e-12)
    assert found.abs_max == np.abs(exact).max()
    assert found.sum == pytest.approx(exact.sum(), abs=1e-12 * np.abs(exact).sum())


def test_a_scaled_weight_is_recognised_as_another_one():
    values = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    scaled = values.copy()
    scaled[3] *= 1.5
    assert fingerprint(values).distance(fingerprint(scaled)) > 5e-3
    assert fingerprint(values).distance(fingerprint(values[:-1])) == float("inf")


def test_signs_count():
    values = np.random.default_rng(0).standard_normal((512, 1024))
    flipped = values.copy()
    flipped[:, :512] *= -1
    assert fingerprint(values).distance(fingerprint(-values)) > 1e-2
    assert fingerprint(values).distance(fingerprint(flipped)) > 1e-2
    assert fingerprint(values).distance(fingerprint(np.abs(values))) > 1


@given(st.integers(0, 1000))
def test_scales_in_float16_stay_near_whatever_cancels(seed):
    """Rounding all scales of a weight moves its sum by less than a ledger for Core ML allows."""
    random = np.random.default_rng(seed)
    signs = np.where(np.arange(64) % 2, 1, -1)[:, None]
    for values in (random.standard_normal((64, 96)), signs * random.random((64, 96))):
        scales = random.uniform(1e-3, 1e-1, (64, 1))
        rounded = scales.astype(np.float16)
        assert fingerprint(values * scales).distance(fingerprint(values * rounded)) < 2e-3


def test_float16_sums_do_not_overflow():
    values = np.full((300, 300), 6e4, dtype=np.float16)
    assert fingerprint(values).square_sum == pytest.approx(90_000 * 60_000.0**2, rel=1e-3)


def test_non_finite_elements_count_as_zero_so_that_it_survives_json():
    found = fingerprint(np.array([[np.nan, 2.0], [np.inf, -3.0]]))
    assert found == Fingerprint(elements=4, abs_sum=5.0, square_sum=13.0, abs_max=3.0, sum=-1.0)
    assert Fingerprint.model_validate_json(found.model_dump_json()) == found


def test_it_leaves_its_argument_alone_and_takes_an_empty_one():
    values = np.array([[np.nan, -2.0]])
    fingerprint(values)
    assert np.isnan(values[0, 0])
    assert fingerprint(np.zeros((0, 3))).elements == 0
