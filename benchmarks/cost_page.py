"""Write ``docs/cost.md`` from what was measured.

    python benchmarks/cost_page.py

Reads ``benchmarks/cost.json``: under ``efficientnet_lite0`` what ``build_time.py --json`` prints,
under ``minilm`` the ``costs`` of ``mobilesdk build examples/minilm.py:build --json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORD, PAGE = ROOT / "benchmarks" / "cost.json", ROOT / "docs" / "cost.md"
_SCRIPT, _WHOLE = "script: ", "build: every shipped target, verified"
_STEP, _IMPORT, _CONVERTING = "step: ", "import: ", "build: the converting part"
_INTRODUCTION = """\
# What a build costs

Written by `python benchmarks/cost_page.py` from `benchmarks/cost.json`; not by hand.

Processor time is that of all processes and threads. Wall times come from a machine that did other \
work too ({cores} cores, load average {load} before) and tell little; processor time grows with \
such work as well, on both sides of a ratio. [What the figures are](concepts.md#cost).

## Beside a script

`benchmarks/convert_only.py` converts EfficientNet-Lite0 for each of the twelve shipped targets, \
one after the other, with the vendors' tools, by the profile of each as far as they have it. It \
verifies nothing, exports the model once for a toolchain, and makes a file that several targets \
have in common once. XNNPACK's ranges are extremes there, as the profile asks; its quantizer's own \
histograms take longer. Both sides have the same 120 calibration photos, one thread for each \
process, and start from nothing. The script's processes ran one after the other, and beside the \
build, by two commands: a machine of its own would take less for both. Tiers that take the script \
nothing are copies of `android-npu`.

"""
_PARTS = """
The converting part is what the script does too: reading the model, preparing the calibration set, \
compressing, exporting, importing the toolchains. Verification, with the evaluation set and the \
float outputs, is the rest. Of that, Apple's Core AI runtime for Linux takes most: it has no fast \
kernels.

"""


def page(record: dict[str, Any]) -> str:
    """Give the text of the page."""
    measured = record["efficientnet_lite0"]
    rows = measured["measurements"]
    load = f"{measured['load_average'][0]:.1f}"
    return (
        _INTRODUCTION.format(cores=measured["cores"], load=load)
        + _table(("what", "CPU s", "of script", "wall s"), _beside(rows))
        + _PARTS
        + "## EfficientNet-Lite0, all targets, step by step\n\n"
        + _table(("step", "targets", "CPU s", "peak MB"), _steps(rows))
        + "\n## MiniLM, all targets in reach, step by step\n\n"
        + _table(("step", "targets", "CPU s", "peak MB"), _costs(record["minilm"]))
    )


def _beside(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    total = next(row for row in rows if row["what"] == "script: all tiers")["cpu_seconds"]
    kept = [row for row in rows if row["what"].startswith(_SCRIPT)]
    kept += [row for row in rows if row["what"] in (_CONVERTING, _WHOLE)]
    for row in kept:
        wall = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
        used = row["cpu_seconds"]
        yield row["what"], f"{used:.1f}", f"{used / total:.2f}", wall


def _steps(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        what, used = row["what"], f"{row['cpu_seconds']:.1f}"
        if what.startswith(_STEP):
            step, _, targets = what.removeprefix(_STEP).partition(", ")
            yield step, targets, used, _megabytes(row["peak_memory_bytes"])
        elif what.startswith(_IMPORT):
            names = f"`{what.removeprefix(_IMPORT)}`"
            yield f"import {names}", "", used, _megabytes(row["peak_memory_bytes"])


def _costs(costs: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for step in costs["steps"]:
        usage, targets = step["usage"], ", ".join(step["targets"]) or "all"
        peak = _megabytes(usage["peak_memory_bytes"])
        title = f"{step['step']}, which failed" if step["failed"] else step["step"]
        yield title, targets, f"{usage['cpu_seconds']:.1f}", peak
    for each in costs["imports"]:
        usage, names = each["usage"], ", ".join(each["modules"])
        peak = _megabytes(usage["peak_memory_bytes"])
        yield f"import `{names}`", "", f"{usage['cpu_seconds']:.1f}", peak


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f}"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    first = 1 if "targets" not in columns else 2
    line = ["---" if place < first else "---:" for place in range(len(columns))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, line, *rows))


def main() -> None:
    PAGE.write_text(page(json.loads(RECORD.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
