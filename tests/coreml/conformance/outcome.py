"""How Apple's cases ended, and the tables of it."""

from __future__ import annotations

import csv
import fnmatch
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.coreml.conformance.known_failures import (
    FLOAT16_IN_FLOAT32,
    KNOWN_FAILURES,
    KNOWN_SKIPS,
    ROUNDED_TESTS,
)

# `xpassed`: Apple ends the case, or expects it to fail, for a fault of its own runtime.
# `unattainable`: a float32 test of values that its program holds in float16. Apple's limits cannot
# be met: what is expected lies between two float16 numbers, was itself rounded to one, or is of
# weights and inputs before they were rounded. This project's limits for float16 are met.
OUTCOMES = ("passed", "xpassed", "failed", "error", "skipped", "unattainable")
PASSED, FAILED = ("passed", "xpassed"), ("failed", "error")


@dataclass(frozen=True)
class Case:
    """One case: its name from the folder of the operation set on, how it ended and why."""

    name: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0
    predicted: bool = False

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.name.split("::")[0]

    @property
    def function(self) -> str:
        """The test function that it is a case of."""
        return self.name.split("[")[0]

    @property
    def known_as(self) -> str | None:
        """The pattern of known failures that it matches, if any, or the rounding that it meets."""
        for pattern in KNOWN_FAILURES:
            if fnmatch.fnmatch(self.name, pattern):
                return pattern
        is_rounded = FLOAT16_IN_FLOAT32 in self.reason and any(
            fnmatch.fnmatch(self.name, pattern) for pattern in ROUNDED_TESTS
        )
        return FLOAT16_IN_FLOAT32 if is_rounded else None

    @property
    def is_surprise(self) -> bool:
        """It fails or does not run and is not known to, or it passes and is known to fail."""
        if self.outcome in PASSED:
            return self.known_as is not None
        if self.outcome in FAILED:
            return self.known_as is None
        if self.outcome == "unattainable":
            return False
        return not any(fnmatch.fnmatch(self.reason, f"Skipped: {item}") for item in KNOWN_SKIPS)


@dataclass(frozen=True)
class Outcome:
    """What a run gave: the cases, and the operations that ran."""

    cases: tuple[Case, ...]
    ops: frozenset[str]

    def counts(self) -> Counter[str]:
        """Count cases by how they ended."""
        return Counter(case.outcome for case in self.cases)

    def failures(self) -> tuple[Case, ...]:
        """Give the cases that failed or could not run."""
        return tuple(case for case in self.cases if case.outcome in FAILED)

    def surprises(self) -> tuple[Case, ...]:
        """Give the cases that did not end as expected."""
        return tuple(case for case in self.cases if case.is_surprise)

    @property
    def pass_rate(self) -> float:
        """Part of the cases in scope: those that are neither skipped nor unattainable."""
        counts = self.counts()
        return _sum(counts, PASSED) / max(_sum(counts, (*PASSED, *FAILED)), 1)

    @property
    def predictions(self) -> int:
        """How many cases of those that passed ran a program; the others end at its conversion."""
        return sum(case.predicted for case in self.cases if case.outcome in PASSED)


def read(log: Path) -> Outcome:
    """Read the log of a run; a line that is being written is left out."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1]
    records = [json.loads(line) for line in lines]
    cases = {
        record["case"]: Case(
            record["case"],
            record["outcome"],
            record["reason"],
            record["seconds"],
            record["predicted"],
        )
        for record in records
        if "case" in record
    }
    ops = frozenset(name for record in records for name in record.get("ops", ()))
    return Outcome(tuple(cases[name] for name in sorted(cases)), ops)


def summary(outcome: Outcome) -> str:
    """Write tables in Markdown: how the cases of each file ended, what was skipped, what failed."""
    lines = [_row("file", *OUTCOMES), _row("---", *["---:"] * len(OUTCOMES))]
    for file, counts in (*_grouped(outcome.cases, lambda case: case.file), _all(outcome)):
        lines.append(_row(file, *(str(counts[name]) for name in OUTCOMES)))
    lines += [
        "",
        f"{outcome.pass_rate:.2%} of those in scope pass, {outcome.predictions} cases with a "
        f"prediction; {len(outcome.ops)} types of operation ran.",
    ]
    skipped = Counter(case.reason for case in outcome.cases if case.outcome == "skipped")
    lines += ["", "Skipped:", *(f"- {count}: {reason}" for reason, count in skipped.most_common())]
    known = Counter(case.known_as for case in outcome.failures() if case.known_as)
    lines += ["", "Failed as known:", *(f"- {count}: {name}" for name, count in known.items())]
    lines += ["", "Not as expected:"]
    lines += [f"- {case.outcome}: {case.name}: {case.reason}" for case in outcome.surprises()]
    return "\n".join(lines) + "\n"


def by_function(outcome: Outcome) -> str:
    """Write a table in CSV: how the cases of each test function ended, and their seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["function", *OUTCOMES, "seconds"])
    seconds: Counter[str] = Counter()
    for case in outcome.cases:
        seconds[case.function] += case.seconds
    for name, counts in _grouped(outcome.cases, lambda case: case.function):
        row = [name, *(counts[item] for item in OUTCOMES), f"{seconds[name]:.2f}"]
        writer.writerow(row)
    return text.getvalue()


def _grouped(
    cases: Iterable[Case], key: Callable[[Case], str]
) -> tuple[tuple[str, Counter[str]], ...]:
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        groups[key(case)][case.outcome] += 1
    return tuple(sorted(groups.items()))


def _sum(counts: Counter[str], names: Iterable[str]) -> int:
    return sum(counts[name] for name in names)


def _all(outcome: Outcome) -> tuple[str, Counter[str]]:
    return "all", outcome.counts()


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
