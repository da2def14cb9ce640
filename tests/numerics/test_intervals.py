"""Intervals: against scipy, and against what an interval promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mobilesdk.numerics.intervals import bootstrap, clopper_pearson


def mean(rows):
    return rows[:, 0]


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_clopper_pearson_agrees_with_scipy(trials, share, confidence):
    successes = round(share * trials)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, "exact")
    found = clopper_pearson(successes, trials, confidence)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-10)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (49_998, 50_000), (3, 50_000)])
def test_clopper_pearson_at_the_ends_and_for_many_trials(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert clopper_pearson(successes, trials) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_a_perfect_run_of_128_still_leaves_room_for_doubt():
    low, high = clopper_pearson(128, 128)
    assert (round(low, 4), high) == (0.9716, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="trials"):
        clopper_pearson(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_share(confidence):
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(1, 2, confidence)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap(np.ones((3, 1)), mean, confidence=confidence)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = bootstrap(generator.normal(5.0, 2.0, (60, 1)), mean, seed=seed)
        covered += low <= 5.0 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_bootstrap_repeats_with_its_seed_and_moves_with_another():
    values = np.random.default_rng(1).standard_normal((50, 1))
    assert bootstrap(values, mean, seed=3) == bootstrap(values, mean, seed=3)
    assert bootstrap(values, mean, seed=3) != bootstrap(values, mean, seed=4)


@given(st.floats(-1e6, 1e6), st.integers(2, 30))
def test_equal_samples_leave_no_doubt(value, count):
    low, high = bootstrap(np.full((count, 1), value), mean)
    assert (low, high) == pytest.approx((value, value))


def test_bootstrap_draws_the_quantities_of_a_sample_together():
    """A ratio of two quantities that are proportional in every sample has no spread."""
    first = np.random.default_rng(2).uniform(1, 9, 40)
    low, high = bootstrap(np.stack([first, 3 * first], axis=1), lambda m: m[:, 1] / m[:, 0])
    assert (low, high) == pytest.approx((3.0, 3.0))


def test_infinite_statistics_pass_through():
    low, high = bootstrap(np.ones((5, 1)), lambda means: np.full(len(means), np.inf))
    assert low == high == np.inf


def test_one_sample_gives_no_interval():
    assert bootstrap(np.ones((1, 1)), mean) is None
