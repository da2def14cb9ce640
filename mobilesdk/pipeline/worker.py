"""The process that runs one step: ``python -m mobilesdk.pipeline.worker JOB``.

It dies with its parent, speaks on a descriptor of its own (what a converter prints goes to the log)
and leaves an outcome in every case but a crash.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from mobilesdk.bundle.writing import write_errors, write_file
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError, WriteFailed
from mobilesdk.pipeline.job import OUTCOME_NAME, Job, Outcome, relative_to
from mobilesdk.pipeline.launch import PARENT_VARIABLE, PROGRESS_VARIABLE
from mobilesdk.plugins import add_file

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the job named on the command line; give the exit code."""
    _die_with_parent()
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    for path in job.plugin_files:
        add_file(path)
    progress = int(os.environ.pop(PROGRESS_VARIABLE))
    os.set_inheritable(progress, False)

    def report(message: str, fraction: float | None = None) -> None:
        line = json.dumps({"message": message, "fraction": fraction})
        os.write(progress, line.encode() + b"\n")

    context = StepContext(job.output, threads=job.threads, seed=job.seed, report=report)
    outcome = _run(job, context)
    try:
        write_file(job.output / OUTCOME_NAME, outcome.model_dump_json(indent=1).encode())
    except WriteFailed:
        return WriteFailed.exit_code  # not even the outcome fits: the exit code has to say it
    return 0


def _run(job: Job, context: StepContext) -> Outcome:
    from mobilesdk.pipeline.steps import run_step

    try:
        with write_errors(job.output):
            model = run_step(job, context)
            return Outcome(model=None if model is None else relative_to(model, job.output))
    except MobileSDKError as error:
        traceback.print_exc()
        return Outcome(error=error.to_json())
    except Exception as error:  # noqa: BLE001  the border of the process: reported, never dropped
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        bug = MobileSDKError(
            f"{type(error).__name__}: {error} (in {last.name}, {Path(last.filename).name})",
            hint="this is a bug in mobilesdk or in a toolchain: please report it with the log.",
        )
        return Outcome(error=bug.to_json())


def _die_with_parent() -> None:
    """Ask the kernel to end this process when the build that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None and os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
