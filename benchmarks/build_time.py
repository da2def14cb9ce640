"""How long the tool takes: a whole build, beside a script that only converts; and what it adds.

    python benchmarks/build_time.py [FOLDER] [--json]

One measurement after the other, with every core to itself. FOLDER keeps the data and the bundle,
so that a second run makes no data; the build starts from an empty cache each time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
FORMATS = ("mlpackage", "pte", "tflite")
REBUILDS = 5
STARTS = 9


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes:
        what: What was run.
        seconds: Wall time: the median over the runs.
        runs: How often it was run.
    """

    what: str
    seconds: float
    runs: int = 1


def wall_time_s(command: list[str], cache: Path) -> float:
    """Run a command to its end; give its wall time."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles every module at every start
    started_s = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        line = " ".join(command)
        sys.exit(f"{line}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started_s


def repeated(what: str, command: list[str], cache: Path, runs: int) -> Measurement:
    """Run a command several times; give the median."""
    times = [wall_time_s(command, cache) for _ in range(runs)]
    return Measurement(what, statistics.median(times), runs)


def conversions(folder: Path) -> Iterator[Measurement]:
    """Measure the hand-written script, a process for each format."""
    script = "benchmarks/convert_only.py"
    for suffix in FORMATS:
        command = [sys.executable, script, suffix, str(folder / f"plain.{suffix}")]
        yield Measurement(f"script: float .{suffix}, unchecked", wall_time_s(command, folder))


def builds(folder: Path) -> Iterator[Measurement]:
    """Measure a build of every shipped target from nothing, and the same build again."""
    photos = folder / "data" / "photos"
    command = [
        sys.executable, "-m", "mobilesdk", "build", "examples/efficientnet_lite0.py:build",
        "--calibration", str(photos / "calibration"),
        "--evaluation", str(photos / "evaluation"),
        "--output", str(folder / "bundle"), "--overwrite",
    ]  # fmt: skip
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    yield Measurement("build: every shipped target, verified", wall_time_s(command, cache))
    yield repeated("build again, nothing changed", command, cache, REBUILDS)


def starts(folder: Path) -> Iterator[Measurement]:
    """Measure how long Python and the command line take to start."""
    yield repeated("bare Python", [sys.executable, "-c", "pass"], folder, STARTS)
    yield repeated("mobilesdk --help", [sys.executable, "-m", "mobilesdk", "-h"], folder, STARTS)


def measure(folder: Path) -> Iterator[Measurement]:
    """Measure all of it."""
    data = folder / "data"
    if not data.exists():
        wall_time_s([sys.executable, "-m", "examples.make_data", str(data)], folder)
    yield from conversions(folder)
    yield from builds(folder)
    yield from starts(folder)


def as_table(measurements: list[Measurement], load: tuple[float, ...]) -> Table:
    """Give the table, with a line for what the conversions take together."""
    busy = ", ".join(f"{value:.1f}" for value in load)
    table = Table(title=f"{os.cpu_count()} cores, load average {busy} before", title_justify="left")
    table.add_column("what")
    table.add_column("runs", justify="right")
    table.add_column("seconds", justify="right")
    for place, item in enumerate(measurements, start=1):
        table.add_row(item.what, str(item.runs), f"{item.seconds:.2f}")
        if place == len(FORMATS):
            total = sum(each.seconds for each in measurements[:place])
            table.add_row("script: the formats together", "1", f"{total:.2f}", end_section=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long the tool takes.")
    parser.add_argument("folder", nargs="?", type=Path, help="keeps the data and the bundle")
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
        Console(width=100).print(as_table(measurements, load))


if __name__ == "__main__":
    main()
