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

from tests.coreml.conformance.known_failures import KNOWN_FAILURES

OUTCOMES = ("passed", "xpassed", "failed", "error", "skipped", "xfailed")
FAILED = ("failed", "error")


@dataclass(frozen=True)
class Case:
    """One case: its name from the folder of the operation set on, how it ended and why."""

    name: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0

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
        """The pattern of known failures that it matches, if any."""
        return next((item for item in KNOWN_FAILURES if fnmatch.fnmatch(self.name, item)), None)


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
        """Give the cases that fail and are not known to, and those that pass and are."""
        return tuple(
            case
            for case in self.cases
            if case.outcome in (*FAILED, "passed", "xpassed")
            and (case.outcome in FAILED) != (case.known_as is not None)
        )

    @property
    def pass_rate(self) -> float:
        """Part of the cases in scope, those that ran and are not expected by Apple to fail."""
        counts = self.counts()
        passed = counts["passed"] + counts["xpassed"]
        return passed / max(passed + counts["failed"] + counts["error"], 1)


def read(log: Path) -> Outcome:
    """Read the log of a run; a line that is being written is left out."""
    lines = log.read_text(encoding="utf-8").split("\n")[:-1]
    records = [json.loads(line) for line in lines]
    cases = {
        record["case"]: Case(record["case"], record["outcome"], record["reason"], record["seconds"])
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
    lines += ["", f"{outcome.pass_rate:.2%} of those in scope pass; {len(outcome.ops)} operations."]
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


def _all(outcome: Outcome) -> tuple[str, Counter[str]]:
    return "all", outcome.counts()


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
