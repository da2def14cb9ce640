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
    assert fingerprint(values).order_distance(moved) < 1e-9


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
    plain = Fingerprint(elements=4, abs_sum=5.0, square_sum=13.0, abs_max=3.0, sum=-1.0)
    assert found.model_copy(update={"axes": ()}) == plain
    assert Fingerprint.model_validate_json(found.model_dump_json()) == found


def test_it_leaves_its_argument_alone_and_takes_an_empty_one():
    values = np.array([[np.nan, -2.0]])
    fingerprint(values)
    assert np.isnan(values[0, 0])
    assert fingerprint(np.zeros((0, 3))).elements == 0


def order_distance(values, changed):
    """Give the distance by order of two arrays that are the same but for their order."""
    one, other = fingerprint(values), fingerprint(changed)
    assert one.distance(other) < 1e-9
    return one.order_distance(other)


@pytest.mark.parametrize("shape", [(64, 96), (48, 48), (32, 16, 3, 3), (32, 1, 3, 3), (1000, 384)])
@pytest.mark.parametrize("seed", range(5))
def test_two_values_that_change_places_are_noticed(shape, seed):
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    one, other = random.choice(values.size, 2, replace=False)
    changed = values.copy()
    changed.flat[[one, other]] = values.flat[[other, one]]
    assert order_distance(values, changed) > 1e-4 * abs(values.flat[one] - values.flat[other])


@pytest.mark.parametrize("axis", range(4))
def test_two_slices_that_change_places_are_noticed_in_every_format(axis):
    """Core ML, the loosest, allows 2e-3."""
    values = np.random.default_rng(axis).standard_normal((32, 16, 3, 3))
    order = list(range(values.shape[axis]))
    order[0], order[2] = order[2], order[0]
    assert order_distance(values, values.take(order, axis)) > 1e-2


def test_a_reversed_axis_and_shuffled_channels_are_noticed():
    random = np.random.default_rng(0)
    values = random.standard_normal((256, 512))
    for changed in (values[::-1], values[:, ::-1], random.permutation(values)):
        assert order_distance(values, changed) > 1e-2


def test_axes_of_length_1_do_not_count_and_a_reshaped_weight_is_not_compared():
    values = np.random.default_rng(0).standard_normal((8, 1, 6, 1))
    assert order_distance(values, values.reshape(6 * 8 // 6, 6)) == 0.0
    assert order_distance(values, values[:, 0, ::-1].reshape(8, 6)) > 1e-2
    assert order_distance(values, values[::-1].reshape(4, 12)) == 0.0


@given(st.integers(0, 1000))
def test_scales_in_float16_do_not_look_like_another_order(seed):
    random = np.random.default_rng(seed)
    for values in (random.standard_normal((64, 64)), random.random((64, 96)) + 1):
        scales = random.uniform(1e-3, 1e-1, (64, 1))
        rounded = scales.astype(np.float16)
        one, other = fingerprint(values * scales), fingerprint(values * rounded)
        assert one.order_distance(other) < 1e-3


@given(st.integers(0, 1000))
def test_values_in_float16_do_not_look_like_another_order(seed):
    random = np.random.default_rng(seed)
    values = random.standard_normal((32, 3, 3, 3)) + random.uniform(-1, 1)
    values -= values.mean(axis=(1, 2, 3), keepdims=True)  # sums that cancel
    rounded = values.astype(np.float16)
    assert fingerprint(values).order_distance(fingerprint(rounded)) < 5e-4
