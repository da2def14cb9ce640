"""Metrics: known values, edge cases, and properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from mobilesdk.numerics import metrics

METRICS = {
    "sqnr_db": metrics.sqnr_db,
    "energies": metrics.energies,
    "max_abs_error": metrics.max_abs_error,
    "cosine": metrics.cosine,
    "kl_divergence": metrics.kl_divergence,
    "top_1": lambda reference, artifact: metrics.top_k_agreement(reference, artifact, 1),
    "equality": metrics.equality,
}
finite = st.floats(-1e6, 1e6, width=32)
shapes = hnp.array_shapes(min_dims=2, max_dims=4, max_side=5)
arrays = hnp.arrays(np.float32, shapes, elements=finite)
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=finite)] * 2)
)
vectors = hnp.arrays(np.float32, (3, 6), elements=st.floats(0.125, 8.0, width=32))


@given(arrays)
def test_equal_arrays_have_no_distance(values):
    assert metrics.sqnr_db(values, values) == math.inf
    assert metrics.max_abs_error(values, values) == 0.0
    assert metrics.cosine(values, values) == pytest.approx(1.0)
    assert metrics.kl_divergence(values, values) == pytest.approx(0.0, abs=1e-12)
    assert metrics.top_k_agreement(values, values, 1).mean() == 1.0
    assert metrics.equality(values, values).mean() == 1.0


@given(pairs)
def test_every_figure_stays_in_its_range(pair):
    reference, artifact = pair
    assert metrics.max_abs_error(reference, artifact) >= 0.0
    assert np.abs(metrics.cosine(reference, artifact)).max() <= 1.0
    assert metrics.kl_divergence(reference, artifact).min() >= 0.0
    shares = metrics.top_k_agreement(reference, artifact, 1)
    assert 0.0 <= shares.min() <= shares.max() <= 1.0


@given(vectors, st.sampled_from([10.0, 20.0, 40.0]))
def test_noise_of_a_known_power_has_the_sqnr_it_should(values, expected_db):
    noise = values.astype(np.float64) * 10 ** (-expected_db / 20)
    assert metrics.sqnr_db(values, values + noise) == pytest.approx(expected_db, abs=1e-6)


@given(vectors, st.floats(0.5, 4.0))
def test_cosine_ignores_the_length_and_sqnr_does_not(values, scale):
    scaled = values * np.float64(scale)
    assert metrics.cosine(values, scaled) == pytest.approx(1.0, abs=1e-9)
    if abs(scale - 1.0) > 1e-3:
        expected = -20 * math.log10(abs(scale - 1.0))
        assert metrics.sqnr_db(values, scaled) == pytest.approx(expected, abs=1e-3)


def test_sqnr_of_nothing():
    zero, one = np.zeros((2, 3)), np.ones((2, 3))
    assert metrics.sqnr_db(zero, zero) == math.inf
    assert metrics.sqnr_db(zero, one) == -math.inf
    assert metrics.sqnr_db(one, zero) == 0.0


def test_cosine_of_nothing_and_of_very_large_and_small_vectors():
    zero, one = np.zeros((1, 3)), np.ones((1, 3))
    assert metrics.cosine(zero, zero) == 1.0
    assert metrics.cosine(zero, one) == metrics.cosine(one, zero) == 0.0
    assert metrics.cosine(one * 1e300, one * 1e-300) == pytest.approx(1.0)
    assert metrics.cosine(one, -one) == pytest.approx(-1.0)


@given(hnp.arrays(np.float64, (2, 4, 5), elements=st.floats(-30, 30)), st.integers(0, 9))
def test_kl_agrees_with_scipy_and_means_over_rows(reference, seed):
    artifact = reference + np.random.default_rng(seed).standard_normal(reference.shape)
    expected = stats.entropy(
        special.softmax(reference, axis=-1), special.softmax(artifact, axis=-1), axis=-1
    ).mean(axis=1)
    assert metrics.kl_divergence(reference, artifact) == pytest.approx(
        expected, rel=1e-9, abs=1e-12
    )


def test_kl_is_of_the_float_model_against_the_artifact_not_the_reverse():
    reference, artifact = np.array([[4.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 0.0]])
    assert metrics.kl_divergence(reference, artifact) != pytest.approx(
        metrics.kl_divergence(artifact, reference)
    )
    shares = special.softmax(reference[0])
    assert metrics.kl_divergence(reference, artifact)[0] == pytest.approx(
        math.log(3) + (shares * np.log(shares)).sum()
    )


def test_kl_of_hopeless_logits_stays_finite():
    assert metrics.kl_divergence(np.array([[0.0, 1e4]]), np.array([[1e4, 0.0]])) == pytest.approx(
        1e4
    )


def test_top_k_counts_the_rank_of_the_best_class():
    reference = np.array([[0.0, 1.0, 9.0, 2.0]])
    artifact = np.array([[5.0, 1.0, 3.0, 4.0]])
    agreements = [metrics.top_k_agreement(reference, artifact, k).item() for k in (1, 2, 3, 4)]
    assert agreements == [0.0, 0.0, 1.0, 1.0]


@given(arrays)
def test_top_1_of_tied_scores_is_argmax(values):
    reference = np.random.default_rng(0).standard_normal(values.shape)
    tied = np.sign(values)
    expected = (reference.argmax(-1) == tied.argmax(-1)).reshape(len(values), -1).mean(axis=1)
    assert metrics.top_k_agreement(reference, tied, 1) == pytest.approx(expected)


def test_saturated_scores_lose_agreement():
    """Scores that clip at one value tie, and only the first of them can be best."""
    reference = np.array([[1.0, 8.0, 9.0]])
    assert metrics.top_k_agreement(reference, np.minimum(reference, 7.0), 1).item() == 0.0


def test_swapped_classes_are_seen():
    generator = np.random.default_rng(4)
    reference = generator.standard_normal((40, 10))
    swapped = reference[:, ::-1]
    assert metrics.top_k_agreement(reference, swapped, 1).mean() < 0.5
    assert metrics.sqnr_db(reference, swapped) < 0.0


@pytest.mark.parametrize("k", [0, 4])
def test_k_lies_among_the_classes(k):
    with pytest.raises(ValueError, match="3 classes"):
        metrics.top_k_agreement(np.zeros((1, 3)), np.zeros((1, 3)), k)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_numbers_that_are_not_finite_are_refused(metric, bad, side):
    pair = [np.ones((2, 3)), np.ones((2, 3))]
    pair[side][1, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        metric(*pair)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_shapes_must_agree_and_hold_samples(metric):
    with pytest.raises(ValueError, match="shapes differ"):
        metric(np.ones((2, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="no samples"):
        metric(np.ones((0, 3)), np.ones((0, 3)))
