"""Run all of Apple's tests with two workers and write a summary.

``python -m tests.coreml.conformance FOLDER [--sample N] [-k EXPRESSION]``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.coreml.conformance.outcome import Outcome, by_function, summary
from tests.coreml.conformance.running import run

WORKERS = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.coreml.conformance")
    parser.add_argument("folder", type=Path, help="where logs and tables are written")
    parser.add_argument("--sample", type=int, default=0, help="cases of each test function; all: 0")
    parser.add_argument("-k", dest="select", default="", help="as of pytest")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    outcome = run(
        folder,
        cases_per_test=arguments.sample,
        workers=WORKERS,
        select=arguments.select,
        progress=_tell,
    )
    (folder / "functions.csv").write_text(by_function(outcome), encoding="utf-8")
    (folder / "summary.md").write_text(summary(outcome), encoding="utf-8")
    print(summary(outcome))
    return 1 if outcome.surprises() else 0


def _tell(outcome: Outcome) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.counts().items()))
    print(f"{len(outcome.cases)} cases: {counts or 'collecting'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
