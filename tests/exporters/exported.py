"""Run the cases of an exporter in a process of its own, and read what they left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from mobilesdk.core.ledger import Expectation

_ROOT = Path(__file__).parents[2]


def export(cases: str, folder: Path, names: list[str], hash_seed: str) -> Path:
    """Run cases, e.g. those of ``litert_cases``; give the folder."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.exporters.{cases}", str(folder), *names],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def expectation_of(exported: Path, name: str) -> Expectation:
    """Read what the exporter said of a case."""
    text = (exported / name / "expectation.json").read_text()
    return Expectation.model_validate_json(text)


def check_refusal(exported: Path, name: str, code: str, word: str) -> None:
    """Check that the exporter refused a case, named a word, and said what to do."""
    error = json.loads((exported / name / "error.json").read_text())
    assert error["code"] == code
    assert word in error["message"]
    assert error["hint"]


def worst_sqnr_db(case: Path) -> float:
    """Give the worst SQNR of a file against its compressed program, over samples and outputs."""
    worst = float("inf")
    for path in sorted(case.glob("run*.npz")):
        with np.load(path, allow_pickle=False) as run:
            for name in (key for key in run.files if key.startswith("wanted_")):
                wanted, found = run[name], run[name.replace("wanted", "found")]
                noise = np.square(wanted - found).sum() + 1e-30
                worst = min(worst, 10 * np.log10(np.square(wanted).sum() / noise))
    assert worst < float("inf"), f"{case.name} was not run"
    return worst
