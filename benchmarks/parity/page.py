"""Gather the results of all networks, judge them, and write ``docs/coreml_parity.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.parity.cases import CASES
from benchmarks.parity.distance import EXACT_DB
from benchmarks.parity.packages import PRECISIONS, TARGETS
from benchmarks.parity.stages import COMPRESSED_MODELS, COMPRESSED_STAGES, STAGES
from mobilesdk.units import format_bytes

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.jsonl")
PAGE = ROOT / "docs" / "coreml_parity.md"
TOOLS = ("torch", "coremltools", "timm", "coreai-core", "coreai-torch")

FLOAT32_DB, FLOAT16_DB, COMPRESSED_DB, BELOW_FLOOR_DB = 100.0, 40.0, 60.0, 6.0

Row = dict[str, Any]
"""A network: the results of its stages by name."""


def gather(folder: Path) -> None:
    """Write the versions, and then a line of JSON for each network, measured or not."""
    lines: list[Row] = [{"versions": {tool: version(tool) for tool in TOOLS}}]
    for name in CASES:
        row: Row = {"network": name}
        for stage in (*STAGES, *COMPRESSED_STAGES):
            path = folder / name / f"{stage}.json"
            if path.exists():
                row[stage] = json.loads(path.read_text())
        lines.append(row)
    RESULTS.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


def read() -> tuple[dict[str, str], list[Row]]:
    """Give the versions of the tools, and the results."""
    first, *rows = (json.loads(line) for line in RESULTS.read_text().splitlines())
    return first["versions"], rows


def write() -> None:
    """Write the page again."""
    PAGE.write_text(render(*read()))


def judge(found: Row, limit_db: float, floor_db: float) -> bool:
    """Tell whether a distance meets a limit, or comes near to what the network itself allows."""
    return not found["fault"] and found["db"] >= min(limit_db, floor_db - BELOW_FLOOR_DB)


def render(versions: dict[str, str], rows: list[Row]) -> str:
    """Give the page."""
    parts = [
        _HEAD.format(versions=", ".join(f"{tool} {number}" for tool, number in versions.items())),
        _networks(),
        "## float32 packages\n",
        _packages(rows, "float32", FLOAT32_DB),
        "## float16 packages\n",
        _FLOAT16,
        _packages(rows, "float16", FLOAT16_DB),
        "## Apple's Core AI\n",
        _COREAI,
        _apple(rows),
        "### The same compressed weights\n",
        _COMPRESSED,
        _compressed(rows),
        "## What failed\n",
        _faults(rows),
    ]
    return "\n".join(parts)


_HEAD = """# Parity of the reference executor

Written by `python -m benchmarks.parity FOLDER` from `benchmarks/parity/results.jsonl`; not by hand.

Each network is converted by coremltools to Core ML packages for iOS 15 to iOS 18 in float32 and \
float16, and `mobilesdk.coreml` runs them in a process of their own, on four inputs one after the \
other. Figures are SQNR in dB over all inputs, of the worst output; the truth is torch eager in \
float32. Conversion goes through mobilesdk's own preparation and lowering, but for what is marked: \
*traced* networks go through `torch.jit.trace`, which keeps loops and suppression whole, and the \
*stateful* one through an exported program whose buffers become states. Versions: {versions}.

The floor of a network is how far its own float32 run is from a run in float64. A float32 package \
passes at 100 dB, or within 6 dB of the floor. Weights are random where nothing else is said, with \
norms and layer scales redrawn and BatchNorm statistics of smooth images, so that no branch \
vanishes.

## Networks
"""
_FLOAT16 = """The second column is torch eager with weights and every result rounded to float16: \
what the network itself loses. A package passes at 40 dB, or within 6 dB of that.

Only outputs of floats decide. Integers are places of candidates, and rounding may choose another \
candidate of nearly the same score; the share that is equal is shown where it is not all. In \
`detector` that is one of 40 places, and the SQNR is lower than that of torch, rounded, because \
the box of another candidate stands there. In `detector_nms` it is the other way round: for one \
input, torch, rounded, takes two candidates in another order (scores of 1.0218 and 1.0204), each \
suppresses others, and so 4 of 41 boxes are others. The packages keep the boxes that torch keeps \
in float32.
"""
_COREAI = """The same module, exported as it is, converted by coreai-torch and run by Apple's own \
runtime for Linux, in float32. *Between* is the distance of the executor's run of the float32 \
package for iOS 18 from Apple's run; it passes at 100 dB, or within 6 dB of the floor.
"""
_COMPRESSED = """mobilesdk compresses the network, without bias correction, and exports it for \
iOS 18 with float32 activations. The `.aimodel` holds the same integers, scales and tables in Core \
AI's own operations for them; its size shows that they stay compressed. *Between* passes at 60 dB.
"""


def _networks() -> str:
    head = ("network", "what it stands for", "input", "converted")
    return _table(head, ([f"`{n}`", c.kind, c.shape, c.route] for n, c in CASES.items()))


def _packages(rows: list[Row], precision: str, limit_db: float) -> str:
    head = ("network", "floor" if precision == "float32" else "torch, rounded", *TARGETS, "verdict")
    lines = []
    for row in rows:
        floor_db = _floor_db(row, precision)
        if floor_db is None or "execute" not in row:
            lines.append(_unmeasured(row, len(head)))
            continue
        results = [_package(row, f"{target}-{precision}") for target in TARGETS]
        ran = [found for found in results if "convert" not in found]
        passed = bool(ran) and all(judge(found, limit_db, floor_db) for found in ran)
        verdict = _verdict(passed)
        if passed and len(ran) < len(TARGETS):
            verdict += " where it converts"
        cells = [_cell(found) for found in results]
        lines.append([f"`{row['network']}`", _db(floor_db), *cells, verdict])
    return _table(head, lines) + _count(lines)


def _floor_db(row: Row, precision: str) -> float | None:
    floor = row.get("reference", {}).get(f"{precision}_floor")
    return None if floor is None else floor["db"]


def _unmeasured(row: Row, width: int) -> list[str]:
    return [f"`{row['network']}`", *["not measured"] * (width - 1)]


def _count(lines: list[list[str]]) -> str:
    passed = sum(line[-1].startswith("passes") for line in lines)
    open_count = sum(line[-1] == "not measured" for line in lines)
    rest = f"; {open_count} are not measured" if open_count else ""
    return f"\n{passed} of {len(lines) - open_count} networks pass{rest}.\n"


def _package(row: Row, name: str) -> Row:
    converted, executed = row.get("convert", {}), row.get("execute", {})
    reason = converted.get(name) or converted.get("fault")
    if reason:
        return {"fault": reason, "convert": True}
    missing = {"fault": executed.get("fault", "not run")}
    found: Row = executed.get(name, missing)
    return found


def _apple(rows: list[Row]) -> str:
    head = ("network", "floor", "Core AI from torch", "between", "verdict")
    lines = []
    for row in rows:
        floor_db, results = _floor_db(row, "float32"), row.get("coreai")
        if floor_db is None or results is None:
            lines.append(_unmeasured(row, len(head)))
            continue
        nothing = {"fault": results.get("fault", "no output of Core AI")}
        apple, between = results.get("torch", nothing), results.get("executor", nothing)
        comparable = not apple["fault"]
        verdict = _verdict(judge(between, FLOAT32_DB, floor_db)) if comparable else "no comparison"
        cells = (_cell(apple), _cell(between) if comparable else "")
        lines.append([f"`{row['network']}`", _db(floor_db), *cells, verdict])
    return _table(head, lines) + _count(lines)


def _compressed(rows: list[Row]) -> str:
    head = (
        "network", "weights", "compressed", "package", "aimodel", "from float", "between", "verdict"
    )  # fmt: skip
    lines = []
    for row in rows:
        if row["network"] in COMPRESSED_MODELS and "compressed" not in row:
            lines.append(_unmeasured(row, len(head)))
        for scheme, found in row.get("compressed", {}).items():
            cells = _compressed_cells(found) if isinstance(found, dict) else ("fails",) * 6
            lines.append([f"`{row['network']}`", scheme, *cells])
    return _table(head, lines)


def _compressed_cells(found: Row) -> tuple[str, ...]:
    return (
        f"{found['compressed']} of {found['weights']}",
        format_bytes(found["package_bytes"]),
        format_bytes(found["aimodel_bytes"]),
        _cell(found["to_float"]),
        _cell(found["between"]),
        _verdict(judge(found["between"], COMPRESSED_DB, EXACT_DB)),
    )


def _faults(rows: list[Row]) -> str:
    """List every reason once per network, with what it is true of."""
    lines = []
    for row in rows:
        reasons: dict[str, list[str]] = {}
        for what, reason in _reasons(row):
            reasons.setdefault(reason, []).append(what)
        lines += [
            f"- `{row['network']}` ({', '.join(places)}): {reason}"
            for reason, places in reasons.items()
        ]
    return "\n".join(lines or ["Nothing."]) + "\n"


def _reasons(row: Row) -> Iterator[tuple[str, str]]:
    """Give what failed, and why."""
    for precision in PRECISIONS:
        for target in TARGETS:
            reason = _package(row, f"{target}-{precision}")["fault"]
            if reason and "execute" in row:
                yield f"{target} {precision}", reason
    apple = row.get("coreai", {})
    for reason in (apple.get("fault"), apple.get("torch", {}).get("fault")):
        if reason:
            yield "Core AI", reason
    for stage in ("reference", *COMPRESSED_STAGES):
        reason = row.get(stage, {}).get("fault")
        if reason:
            yield stage, reason


def _cell(found: Row) -> str:
    if found["fault"]:
        return "does not convert" if "convert" in found else "fails"
    text = _db(found["db"])
    return text if found["equal"] == 1.0 else f"{text}, {found['equal']:.1%} of integers"


def _db(value: float) -> str:
    return "exact" if value >= EXACT_DB else f"{value:.1f}"


def _verdict(passed: bool) -> str:
    return "passes" if passed else "**fails**"


def _table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    first = tuple(head)
    rows = [first, ["---"] * len(first), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
