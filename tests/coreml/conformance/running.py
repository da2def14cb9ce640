"""Run Apple's tests in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tests.coreml.conformance.outcome import Outcome, read

REPOSITORY = Path(__file__).parents[3]
SETTINGS = Path(__file__).with_name("pytest.ini")
PLUGINS = ("disguise", "adapter")
PROGRESS_S = 60
KEPT_CHARACTERS = 4000


def run(
    folder: Path,
    *,
    cases_per_test: int = 0,
    workers: int = 0,
    select: str = "",
    progress: Callable[[Outcome], None] | None = None,
) -> Outcome:
    """Run the tests.

    Args:
        folder: Where ``cases.jsonl`` is written, a line for each case, and ``pytest.log``.
        cases_per_test: At most so many of each test function; all if 0.
        workers: Processes; in this one's child alone if 0.
        select: As ``-k`` of pytest.
        progress: Called once a minute with what there is.

    Raises:
        RuntimeError: pytest ended before the end.
    """
    log, printed = folder / "cases.jsonl", folder / "pytest.log"
    log.write_text("")
    tests = _tests_folder()
    command = [sys.executable, "-m", "pytest"]
    for plugin in PLUGINS:
        command += ["-p", f"{__package__}.{plugin}"]
    command += ["-c", str(SETTINGS), "--rootdir", str(tests), "--quiet", "--tb=line", "--runxfail"]
    command += ["--numprocesses", str(workers)] if workers else ["-p", "no:xdist"]
    command += ["-k", select] if select else []
    with (
        printed.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            [*command, str(tests)],
            env=_environment(log, cases_per_test),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        while not _ended(process):
            if progress:
                progress(read(log))
    if process.returncode not in (0, 1):
        raise RuntimeError(printed.read_text(encoding="utf-8")[-KEPT_CHARACTERS:])
    return read(log)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=PROGRESS_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _tests_folder() -> Path:
    spec = find_spec("coremltools")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("coremltools is not installed")
    return Path(spec.submodule_search_locations[0], "converters/mil/mil/ops/tests")


def _environment(log: Path, cases_per_test: int) -> dict[str, str]:
    return os.environ | {
        "CONFORMANCE_CASES_PER_TEST": str(cases_per_test),
        "CONFORMANCE_LOG": str(log.resolve()),
        "INCLUDE_MIL_FP32_UNIT_TESTS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYMIL_TEST_TARGETS": "mlprogram",
        "PYTEST_ADDOPTS": "",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    }
