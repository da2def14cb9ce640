"""A fixed sample of Apple's tests of MIL operations runs in the reference executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilesdk.coreml.ops.registry import known_ops
from tests.coreml.conformance.known_failures import (
    FLOAT16_IN_FLOAT32,
    KNOWN_FAILURES,
    KNOWN_SKIPS,
    ROUNDED_TESTS,
)
from tests.coreml.conformance.outcome import Case, Outcome, by_function, read, summary
from tests.coreml.conformance.running import run
from tests.docs.markdown import REPOSITORY

CASES_PER_TEST = 2
LEAST_PASS_RATE = 0.98
LEAST_OPERATIONS = 125
LEAST_CASES = 800
LEAST_PREDICTIONS = 500
PAGE = (REPOSITORY / "docs" / "coreml.md").read_text(encoding="utf-8")


def test_the_sample_passes_but_for_known_failures(tmp_path: Path) -> None:
    outcome = run(tmp_path, cases_per_test=CASES_PER_TEST)
    assert not outcome.surprises(), summary(outcome)
    assert outcome.pass_rate >= LEAST_PASS_RATE
    assert len(outcome.cases) >= LEAST_CASES
    assert outcome.predictions >= LEAST_PREDICTIONS
    assert len(outcome.ops) >= LEAST_OPERATIONS
    excused = [case for case in outcome.cases if "TestNonMaximumSuppression" in case.name]
    assert any(case.outcome == "xpassed" and case.predicted for case in excused)


def test_unknown_failures_and_known_ones_that_pass_are_surprises() -> None:
    gelu = "iOS14/test_activation.py::TestGeLU::test_builder_to_backend_smoke[fp32]"
    known, passing = Case(gelu, "failed"), Case(gelu, "passed")
    new = Case("iOS14/test_conv.py::TestConv::test[fp32]", "error", "broke")
    others = (
        Case("a::passed", "passed"),
        Case("a::unattainable", "unattainable"),
        Case("a::skipped", "skipped", f"Skipped: {next(iter(KNOWN_SKIPS))}"),
    )
    outcome = Outcome((known, new, *others), frozenset())
    assert outcome.surprises() == (new,)
    assert outcome.pass_rate == 1 / 3
    assert Outcome((passing,), frozenset()).surprises() == (passing,)
    assert "- error: iOS14/test_conv.py::TestConv::test[fp32]: broke" in summary(outcome)
    assert "iOS14/test_conv.py::TestConv::test,0,0,0,1,0,0,0.00" in by_function(outcome)


@pytest.mark.parametrize(
    "case",
    [
        Case("a::b", "xfailed", "rdar://78080118"),
        Case("a::b", "skipped", "Skipped: too slow"),
    ],
)
def test_a_case_that_ends_before_it_ran_is_a_surprise_unless_its_reason_is_listed(
    case: Case,
) -> None:
    assert Outcome((case,), frozenset()).surprises() == (case,)


def test_a_failure_by_float16_in_a_float32_test_is_known_but_fails() -> None:
    reason = f"AssertionError: {FLOAT16_IN_FLOAT32}"
    gru = "iOS18/test_recurrent.py::TestGRU::test_builder_to_backend_smoke[fp32]"
    rounded, elsewhere = Case(gru, "failed", reason), Case("a::b", "failed", reason)
    outcome = Outcome((rounded, elsewhere), frozenset())
    assert outcome.surprises() == (elsewhere,)
    assert outcome.pass_rate == 0
    assert f"- 1: {FLOAT16_IN_FLOAT32}" in summary(outcome)


def test_a_log_is_read_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "cases.jsonl"
    line = (
        '{"case": "a::b", "outcome": "passed", "reason": "", "seconds": 1.5, "predicted": true}\n'
    )
    log.write_text(line + '{"ops": ["relu"]}\n' + line[:20])
    assert read(log) == Outcome((Case("a::b", "passed", "", 1.5, True),), frozenset({"relu"}))


def test_documentation_explains_each_known_failure_and_each_skip() -> None:
    for pattern, reason in KNOWN_FAILURES.items():
        assert f"| `{pattern}` | {reason} |" in PAGE
    for pattern, reason in KNOWN_SKIPS.items():
        assert f"| `{pattern}` | {reason} |" in PAGE
    tests = ", ".join(f"`{pattern}`" for pattern in ROUNDED_TESTS)
    assert f"| {tests} | {FLOAT16_IN_FLOAT32} |" in PAGE


def test_documentation_lists_the_operations() -> None:
    table = PAGE.partition("\n## Operations\n")[2].partition("\nConstants")[0]
    listed = [
        part.strip("` ")
        for line in table.splitlines()
        if line.startswith("| `")
        for part in line.split("|")[2].replace("(", ",").split(",")
        if "`" in part
    ]
    assert sorted(listed) == list(known_ops())
