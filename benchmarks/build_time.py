"""What the tool takes: a whole build, beside a script that only converts to the same tiers.

    python benchmarks/build_time.py [FOLDER] [--json]

One command after the other, each from nothing: the build from an empty cache, and the script
(`convert_only.py`) in a process for each toolchain, because they do not get on in one. Processor
time is what is compared: it hardly depends on what else the machine does, wall time does. Both
compute on one thread for each process, so that no thread spins while it waits. The script takes a
tool of Apple's that mobilesdk does not need: ``pip install --no-deps coreai-opt==0.3.0``.

The converting part of the build is what the script does too: reading the model, preparing the
calibration set, compressing and exporting, and importing the toolchains. What it leaves to the rest
is the evaluation set, the float outputs, verification, and the command itself, which plans and
writes the bundle. FOLDER keeps the photos and the results.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
TOOLCHAINS = ("coreml", "executorch", "litert", "coreai")
NOT_CONVERTING = ("evaluation set", "float outputs", "verify")
REBUILDS = 5
STARTS = 9


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes:
        what: What was run.
        cpu_seconds: Processor time of all its processes; the median over the runs.
        seconds: Wall time, likewise; ``None`` for parts that ran beside others.
        peak_memory_bytes: Largest resident memory of a step; ``None`` where nobody looked.
    """

    what: str
    cpu_seconds: float
    seconds: float | None = None
    peak_memory_bytes: int | None = None


def run(what: str, command: list[str], cache: Path) -> tuple[Measurement, str]:
    """Run a command to its end; give what it took, and its standard output."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles every module at every start
    started_s, used_s = time.perf_counter(), children_s()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        line = " ".join(command)
        sys.exit(f"{line}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    seconds = time.perf_counter() - started_s
    return Measurement(what, children_s() - used_s, seconds), done.stdout


def children_s() -> float:
    """Give the processor time of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def repeated(what: str, command: list[str], cache: Path, runs: int) -> Measurement:
    """Run a command several times; give the medians."""
    found = [run(what, command, cache)[0] for _ in range(runs)]
    return Measurement(
        f"{what}, median of {runs}",
        statistics.median(each.cpu_seconds for each in found),
        statistics.median(each.seconds or 0.0 for each in found),
    )


def script(folder: Path) -> Iterator[Measurement]:
    """Measure the hand-written script: its tiers, and at last all of it."""
    photos, output = folder / "data" / "photos" / "calibration", folder / "converted"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    cpu_seconds = seconds = 0.0
    for name in TOOLCHAINS:
        command = [
            sys.executable, "benchmarks/convert_only.py", name, str(photos), str(output),
        ]  # fmt: skip
        whole, said = run(name, command, folder)
        yield from (
            Measurement(f"script: {line['what']}", line["cpu_seconds"], line["seconds"])
            for line in map(json.loads, filter(_is_line, said.splitlines()))
        )
        cpu_seconds += whole.cpu_seconds
        seconds += whole.seconds or 0.0
    yield Measurement("script: all tiers", cpu_seconds, seconds)


def _is_line(text: str) -> bool:
    return text.startswith('{"what":')


def builds(folder: Path) -> Iterator[Measurement]:
    """Measure a build of every shipped target from nothing, its parts, and the build again."""
    photos = folder / "data" / "photos"
    command = [
        sys.executable, "-m", "mobilesdk", "build", "examples/efficientnet_lite0.py:build",
        "--calibration", str(photos / "calibration"),
        "--evaluation", str(photos / "evaluation"),
        "--output", str(folder / "bundle"), "--overwrite", "--json",
    ]  # fmt: skip
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    whole, said = run("build: every shipped target, verified", command, cache)
    costs = json.loads(said)["costs"]
    yield from map(_step, costs["steps"])
    yield from map(_import, costs["imports"])
    converting = [each for each in costs["steps"] if each["step"] not in NOT_CONVERTING]
    used = sum(each["usage"]["cpu_seconds"] for each in [*converting, *costs["imports"]])
    yield Measurement("build: the converting part", used)
    yield whole
    yield repeated("build again, nothing changed", command, cache, REBUILDS)


def _step(cost: dict[str, Any]) -> Measurement:
    targets = ", ".join(cost["targets"]) or "all"
    usage = cost["usage"]
    return Measurement(
        f"step: {cost['step']}, {targets}",
        usage["cpu_seconds"],
        peak_memory_bytes=usage["peak_memory_bytes"],
    )


def _import(cost: dict[str, Any]) -> Measurement:
    usage, names = cost["usage"], ", ".join(cost["modules"])
    return Measurement(
        f"import: {names}", usage["cpu_seconds"], peak_memory_bytes=usage["peak_memory_bytes"]
    )


def starts(folder: Path) -> Iterator[Measurement]:
    """Measure how long Python and the command line take to start."""
    yield repeated("bare Python", [sys.executable, "-c", "pass"], folder, STARTS)
    yield repeated("mobilesdk --help", [sys.executable, "-m", "mobilesdk", "-h"], folder, STARTS)


def measure(folder: Path) -> Iterator[Measurement]:
    """Measure all of it."""
    if find_spec("coreai_opt") is None:
        sys.exit("The script to compare with needs: pip install --no-deps coreai-opt==0.3.0")
    data = folder / "data"
    if not data.exists():
        made = [sys.executable, "-m", "examples.make_data", str(data), "--only", "photos"]
        run("photos", made, folder)
    yield from builds(folder)
    yield from script(folder)
    yield from starts(folder)


def as_table(measurements: list[Measurement], load: tuple[float, ...]) -> Table:
    """Give the table; ratios are to what all tiers take the script."""
    busy = ", ".join(f"{value:.1f}" for value in load)
    table = Table(title=f"{os.cpu_count()} cores, load average {busy} before", title_justify="left")
    table.add_column("what")
    for column in ("CPU seconds", "of script", "wall seconds", "peak MB"):
        table.add_column(column, justify="right")
    whole = next(item for item in measurements if item.what == "script: all tiers").cpu_seconds
    for item in measurements:
        table.add_row(
            item.what,
            f"{item.cpu_seconds:.1f}",
            f"{item.cpu_seconds / whole:.2f}",
            "" if item.seconds is None else f"{item.seconds:.1f}",
            "" if item.peak_memory_bytes is None else f"{item.peak_memory_bytes / 1e6:.0f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the tool takes.")
    parser.add_argument("folder", nargs="?", type=Path, help="keeps the photos and the results")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    arguments = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        measurements = list(measure(folder))
    if arguments.json:
        found = [asdict(item) for item in measurements]
        print(json.dumps({"cores": os.cpu_count(), "load_average": load, "measurements": found}))
    else:
        Console(width=120).print(as_table(measurements, load))


if __name__ == "__main__":
    main()
