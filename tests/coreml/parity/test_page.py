"""The page of measured parity is what its results and rules make of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.parity import page
from benchmarks.parity.cases import CASES
from benchmarks.parity.distance import EXACT_DB, distance, fault


def test_the_page_is_the_one_that_the_results_give() -> None:
    assert page.PAGE.read_text() == page.render(*page.read())


def test_every_network_is_on_the_page() -> None:
    _, rows = page.read()
    assert [row["network"] for row in rows] == list(CASES)


@pytest.mark.parametrize(
    ("db", "floor_db", "passes"),
    [(100.0, 130.0, True), (99.9, 130.0, False), (95.0, 101.0, True), (94.9, 101.0, False)],
)
def test_a_figure_passes_at_the_limit_or_near_the_floor(
    db: float, floor_db: float, passes: bool
) -> None:
    found = {"db": db, "equal": 1.0, "fault": ""}
    assert page.judge(found, page.FLOAT32_DB, floor_db) is passes


def test_what_has_no_figure_does_not_pass() -> None:
    assert not page.judge(dict(fault("does not load")), -1e9, 0.0)


def test_the_worst_output_counts_and_integers_are_counted() -> None:
    near = [np.array([1.0, 2.0]), np.array([10.0]), np.array([3, 4])]
    far = [np.array([1.0, 2.0]), np.array([11.0]), np.array([3, 5])]
    assert distance([near], [far]) == {"db": 20.0, "equal": 0.5, "fault": ""}
    assert distance([near], [near]) == {"db": EXACT_DB, "equal": 1.0, "fault": ""}


def test_other_shapes_and_infinite_values_are_faults() -> None:
    assert "shape (1,)" in distance([[np.zeros(2)]], [[np.zeros(1)]])["fault"]
    assert "not finite" in distance([[np.zeros(1)]], [[np.array([np.inf])]])["fault"]
