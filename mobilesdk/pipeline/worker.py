"""What a worker process does with its job.

It speaks on a descriptor of its own (what a converter prints goes to the log) and leaves an outcome
in every case but a crash.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mobilesdk.bundle.writing import is_full, write_errors, write_file
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError, WriteFailed
from mobilesdk.pipeline.job import OUTCOME_NAME, Job, Outcome, relative_to
from mobilesdk.plugins import add_file

UNWRITTEN_EXIT_CODE = 74
"""Of a worker that could not even write its outcome (``EX_IOERR`` of sysexits.h)."""


@dataclass(frozen=True)
class Order:
    """What a worker was made for."""

    job_file: Path
    log: int
    progress: int


def work(order: Order) -> int:
    """Do a job; give the exit code of the process."""
    job = Job.model_validate_json(order.job_file.read_bytes())

    def report(message: str, fraction: float | None = None) -> None:
        line = json.dumps({"message": str(message), "fraction": fraction})
        os.write(order.progress, line.encode() + b"\n")

    context = StepContext(job.output, threads=job.threads, seed=job.seed, report=report)
    outcome = _run(job, context)
    try:
        write_file(job.output / OUTCOME_NAME, outcome.model_dump_json(indent=1).encode())
    except WriteFailed:
        return UNWRITTEN_EXIT_CODE
    return 0


def _run(job: Job, context: StepContext) -> Outcome:
    try:
        with write_errors(job.output):
            model = _step(job, context)
            return Outcome(model=None if model is None else relative_to(model, job.output))
    except MobileSDKError as error:
        _log(error)
        return Outcome(error=error.to_json())
    except (Exception, SystemExit) as error:  # noqa: BLE001  the border of the process: reported
        _log(error)
        return Outcome(error=_untyped(error, job).to_json())


def _step(job: Job, context: StepContext) -> Model | None:
    from mobilesdk.pipeline.steps import run_step

    for path in job.plugin_files:
        add_file(path)
    return run_step(job, context)


def _untyped(error: BaseException, job: Job) -> MobileSDKError:
    """Give the typed error for one that no step should raise."""
    if is_full(job.output):  # toolchains have errors of their own for a write that is refused
        return WriteFailed(
            f"{job.output.parent} is full: {type(error).__name__}: {error}",
            hint="free some space, or name another cache with XDG_CACHE_HOME.",
        )
    last = traceback.extract_tb(error.__traceback__)[-1]
    return MobileSDKError(
        f"{type(error).__name__}: {error} (in {last.name}, {Path(last.filename).name})",
        hint="this is a bug in mobilesdk or in a toolchain: please report it with the log.",
    )


def _log(error: BaseException) -> None:
    with suppress(OSError):  # the log lies on the disk that may be full
        traceback.print_exception(error)
        sys.stderr.flush()
