"""``docs/bad_input.md`` has a row for each test, and a test for each row."""

from __future__ import annotations

import pytest

from mobilesdk.cli.explain import section
from mobilesdk.errors import error_classes
from tests.bad_input import (
    test_builds,
    test_models,
    test_ops,
    test_requests,
    test_saved_models,
)
from tests.bad_input.table import ROWS, WORKS, Row

TESTED = (
    *test_models.SOURCES,
    *test_models.TAKEN,
    *test_models.KERAS,
    *test_requests.REQUESTS,
    *test_requests.SETS,
    *test_requests.OTHERS,
    *test_builds.TESTED,
    *test_ops.TESTED,
    *test_saved_models.SAVED,
)


def test_each_row_has_one_test_and_each_test_a_row() -> None:
    assert len(set(TESTED)) == len(TESTED)
    assert set(TESTED) == set(ROWS)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_row_has_a_code_that_is_explained_and_says_what_is_told(row: Row) -> None:
    if row.code == WORKS:
        assert not row.told
    else:
        assert row.code in error_classes()
        assert section(row.code)
        assert row.told


def test_a_row_tells_a_test_that_another_thing_happened() -> None:
    row = Row("name", "usage", ("what",))
    row.check("usage", 2, "what is wrong")
    for wrong in (("usage", 2, "why"), ("usage", 6, "what"), ("invalid-model", 2, "what")):
        with pytest.raises(AssertionError):
            row.check(*wrong)
