"""Run Apple's tests in a process of their own and count how they end."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.coreml.conformance.known_failures import KNOWN_FAILURES

REPOSITORY = Path(__file__).parents[3]
SETTINGS = Path(__file__).with_name("pytest.ini")
PLUGINS = ("disguise", "adapter")
OUTCOMES = ("passed", "xpassed", "failed", "error", "skipped", "xfailed")


@dataclass(frozen=True)
class Case:
    """One case: its name from the folder of the operation set on, how it ended and why."""

    name: str
    outcome: str
    reason: str

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.name.split("::")[0]

    @property
    def known_as(self) -> str | None:
        """The pattern of known failures that it matches, if any."""
        return next((item for item in KNOWN_FAILURES if fnmatch.fnmatch(self.name, item)), None)


@dataclass(frozen=True)
class Outcome:
    """What a run gave: the cases, the operations that ran, and what pytest printed."""

    cases: tuple[Case, ...]
    ops: frozenset[str]
    output: str

    def counts(self) -> Counter[str]:
        """Count cases by how they ended."""
        return Counter(case.outcome for case in self.cases)

    def failures(self) -> tuple[Case, ...]:
        """Give the cases that failed or could not run."""
        return tuple(case for case in self.cases if case.outcome in ("failed", "error"))

    @property
    def pass_rate(self) -> float:
        """Part of the cases in scope, those that ran and are not expected by Apple to fail."""
        counts = self.counts()
        passed = counts["passed"] + counts["xpassed"]
        return passed / max(passed + counts["failed"] + counts["error"], 1)


def run(log: Path, *, cases_per_test: int = 0, workers: int = 0, select: str = "") -> Outcome:
    """Run the tests.

    Args:
        log: File to write, a line of JSON for each case.
        cases_per_test: At most so many of each test function; all if 0.
        workers: Processes; in this one's child alone if 0.
        select: As ``-k`` of pytest.

    Raises:
        RuntimeError: pytest ended before the end.
    """
    log.write_text("")
    tests = _tests_folder()
    command = [sys.executable, "-m", "pytest"]
    for plugin in PLUGINS:
        command += ["-p", f"{__package__}.{plugin}"]
    command += ["-c", str(SETTINGS), "--rootdir", str(tests), "--quiet", "--tb=line"]
    command += ["--numprocesses", str(workers)] if workers else ["-p", "no:xdist"]
    command += ["-k", select] if select else []
    finished = subprocess.run(
        [*command, str(tests)],
        env=_environment(log, cases_per_test),
        cwd=log.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode not in (0, 1):
        raise RuntimeError(f"{finished.stdout[-4000:]}\n{finished.stderr[-4000:]}")
    return read(log, finished.stdout)


def read(log: Path, output: str = "") -> Outcome:
    """Read the log of a run."""
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    cases = {
        record["case"]: Case(record["case"], record["outcome"], record["reason"])
        for record in records
        if "case" in record
    }
    ops = frozenset(name for record in records for name in record.get("ops", ()))
    return Outcome(tuple(cases[name] for name in sorted(cases)), ops, output)


def summary(outcome: Outcome) -> str:
    """Write a table in Markdown: how the cases of each file ended, and what failed."""
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for case in outcome.cases:
        by_file[case.file][case.outcome] += 1
    lines = [_row("file", *OUTCOMES), _row("---", *["---:"] * len(OUTCOMES))]
    for file, counts in [*sorted(by_file.items()), ("all", outcome.counts())]:
        lines.append(_row(file, *(str(counts[name]) for name in OUTCOMES)))
    lines += ["", f"{outcome.pass_rate:.2%} of those in scope pass; {len(outcome.ops)} operations."]
    skipped = Counter(case.reason for case in outcome.cases if case.outcome == "skipped")
    lines += ["", "Skipped:", *(f"- {count}: {reason}" for reason, count in skipped.most_common())]
    lines += ["", "Failed:"]
    known = Counter(
        case.known_as or f"NEW {case.name}: {case.reason}" for case in outcome.failures()
    )
    lines += [f"- {count}: {name}" for name, count in sorted(known.items())]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _tests_folder() -> Path:
    spec = find_spec("coremltools")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("coremltools is not installed")
    return Path(spec.submodule_search_locations[0], "converters/mil/mil/ops/tests")


def _environment(log: Path, cases_per_test: int) -> dict[str, str]:
    return os.environ | {
        "CONFORMANCE_CASES_PER_TEST": str(cases_per_test),
        "CONFORMANCE_LOG": str(log.resolve()),
        "INCLUDE_MIL_FP32_UNIT_TESTS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYMIL_TEST_TARGETS": "mlprogram",
        "PYTEST_ADDOPTS": "",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    }
