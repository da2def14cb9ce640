"""Run the stages that are missing, one process each, and write results and page.

python -m benchmarks.parity FOLDER [NETWORK …]
python -m benchmarks.parity --page
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.parity import page

ROOT = Path(__file__).parents[2]
_LIMIT_S = 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="keeps packages and results")
    parser.add_argument("networks", nargs="*", help="these alone")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    parser.add_argument("--stage", help="run one stage of one network in this process")
    arguments = parser.parse_args()
    if arguments.stage:
        _run_here(arguments.stage, arguments.networks[0], arguments.folder)
        return
    if not arguments.page:
        _run_missing(arguments.folder, arguments.networks)
        page.gather(arguments.folder)
    page.write()


def _run_here(stage: str, name: str, folder: Path) -> None:
    import torch

    from benchmarks.parity.stages import COMPRESSED_STAGES, STAGES

    torch.set_num_threads(1)
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    _store(place / f"{stage}.json", {**STAGES, **COMPRESSED_STAGES}[stage](name, place))


def _run_missing(folder: Path, networks: list[str]) -> None:
    from benchmarks.parity.cases import CASES
    from benchmarks.parity.stages import COMPRESSED_MODELS, COMPRESSED_STAGES, STAGES

    for name in networks or CASES:
        stages = [*STAGES, *(COMPRESSED_STAGES if name in COMPRESSED_MODELS else ())]
        for stage in stages:
            result = folder / name / f"{stage}.json"
            if not result.exists():
                print(name, stage, flush=True)
                _run_apart(stage, name, folder, result)


def _run_apart(stage: str, name: str, folder: Path, result: Path) -> None:
    """Run a stage in a process; what ends it early is its result."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.parity"]
    done = subprocess.run(
        [*command, "--stage", stage, str(folder), name],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [""]
        _store(result, {"fault": f"{stage} ended with {done.returncode}: {lines[-1]}"})
        print(done.stderr[-2000:], file=sys.stderr)


def _store(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(value, indent=1) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
