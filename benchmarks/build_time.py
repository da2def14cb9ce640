"""How long the tool takes: a whole build, beside a script that only converts; and what it adds.

    python benchmarks/build_time.py [FOLDER]

Both run here, one after the other, with every core to themselves. FOLDER keeps the data.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
FORMATS = ("mlpackage", "pte", "tflite")
STARTS = 9


def seconds(command: list[str], cache: Path) -> float:
    """Run a command to its end; give its wall time."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started


def start_time(arguments: list[str]) -> float:
    """Give the median wall time of a short command."""
    return statistics.median(
        seconds([sys.executable, *arguments], Path(tempfile.gettempdir())) for _ in range(STARTS)
    )


def measure(folder: Path) -> list[tuple[str, float]]:
    """Give what was measured: a line of text and seconds each."""
    data = folder / "data"
    if not data.exists():
        seconds([sys.executable, "-m", "examples.make_data", str(data)], folder)
    rows = []
    script = "benchmarks/convert_only.py"
    converting = [
        seconds([sys.executable, script, suffix, str(folder / f"plain.{suffix}")], folder)
        for suffix in FORMATS
    ]
    rows.append(("hand-written script: 3 float conversions, unchecked", sum(converting)))
    build = [
        sys.executable, "-m", "mobilesdk", "build", "examples/efficientnet_lite0.py:build",
        "--calibration", str(data / "photos/calibration"),
        "--evaluation", str(data / "photos/evaluation"),
        "--output", str(folder / "bundle"), "--overwrite",
    ]  # fmt: skip
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    rows.append(("mobilesdk build: every shipped target, verified", seconds(build, cache)))
    again = statistics.median(seconds(build, cache) for _ in range(5))
    rows.append(("mobilesdk build again, nothing changed (median of 5)", again))
    bare = start_time(["-c", "pass"])
    rows.append((f"bare Python (median of {STARTS})", bare))
    rows.append((f"mobilesdk --help (median of {STARTS})", start_time(["-m", "mobilesdk", "-h"])))
    return rows


def main() -> None:
    table = Table(title=f"{os.cpu_count()} cores", title_justify="left")
    table.add_column("what")
    table.add_column("seconds", justify="right")
    if len(sys.argv) > 1:
        rows = measure(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(Path(folder))
    for text, value in rows:
        table.add_row(text, f"{value:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
