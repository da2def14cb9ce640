"""Run all of Apple's tests with two workers and write a summary.

``python -m tests.coreml.conformance FOLDER [--sample N] [-k EXPRESSION]``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.coreml.conformance.running import run, summary

WORKERS = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.coreml.conformance")
    parser.add_argument("folder", type=Path, help="where the log and the summary are written")
    parser.add_argument("--sample", type=int, default=0, help="cases of each test function; all: 0")
    parser.add_argument("-k", dest="select", default="", help="as of pytest")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    outcome = run(
        arguments.folder / "cases.jsonl",
        cases_per_test=arguments.sample,
        workers=WORKERS,
        select=arguments.select,
    )
    text = summary(outcome)
    (arguments.folder / "summary.md").write_text(text, encoding="utf-8")
    print(text)
    return 1 if any(case.known_as is None for case in outcome.failures()) else 0


if __name__ == "__main__":
    sys.exit(main())
