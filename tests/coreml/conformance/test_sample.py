"""A fixed sample of Apple's tests of MIL operations passes in the reference executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilesdk.coreml.ops.registry import known_ops
from tests.coreml.conformance.known_failures import KNOWN_FAILURES
from tests.coreml.conformance.running import Case, Outcome, run
from tests.docs.markdown import REPOSITORY

CASES_PER_TEST = 2
CASES = 894  # of coremltools 9.0
LEAST_OPERATIONS = 123
LEAST_PASS_RATE = 0.98
PAGE = (REPOSITORY / "docs" / "coreml_executor.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_sample_passes_but_for_known_failures(tmp_path: Path) -> None:
    outcome = run(tmp_path / "cases.jsonl", cases_per_test=CASES_PER_TEST)
    new = [case for case in outcome.failures() if case.known_as is None]
    assert not new, outcome.output[-4000:]
    assert outcome.pass_rate >= LEAST_PASS_RATE
    assert len(outcome.cases) == CASES
    assert len(outcome.ops) >= LEAST_OPERATIONS


def test_unknown_failures_and_errors_count_against_the_pass_rate() -> None:
    known = Case(
        "iOS14/test_activation.py::TestGeLU::test_builder_to_backend_smoke[fp32]", "failed", ""
    )
    new = Case("iOS14/test_conv.py::TestConv::test[fp32]", "error", "")
    others = tuple(Case(f"a::{name}", name, "") for name in ("passed", "xfailed", "skipped"))
    outcome = Outcome((known, new, *others), frozenset(), "")
    assert [case.known_as is None for case in outcome.failures()] == [False, True]
    assert outcome.pass_rate == 1 / 3


def test_documentation_explains_each_known_failure() -> None:
    for pattern, reason in KNOWN_FAILURES.items():
        assert f"| `{pattern}` | {reason} |" in PAGE


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
