"""The process that runs one step: ``python -m mobilesdk.pipeline.worker JOB``.

It dies with its parent, speaks on a descriptor of its own (what a converter prints goes to the log)
and leaves an outcome in every case but a crash.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from mobilesdk.bundle.writing import is_full, write_errors, write_file
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError, WriteFailed
from mobilesdk.pipeline.job import OUTCOME_NAME, Job, Outcome, relative_to
from mobilesdk.pipeline.launch import PARENT_VARIABLE, PROGRESS_VARIABLE, UNWRITTEN_EXIT_CODE
from mobilesdk.plugins import add_file

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the job named on the command line; give the exit code."""
    progress = int(os.environ.pop(PROGRESS_VARIABLE))
    os.set_inheritable(progress, False)
    _die_with_parent(progress)
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())

    def report(message: str, fraction: float | None = None) -> None:
        line = json.dumps({"message": str(message), "fraction": fraction})
        os.write(progress, line.encode() + b"\n")

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


def _die_with_parent(progress: int) -> None:
    """End this process when the build that started it ends, and whatever it has started."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT_VARIABLE]):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.fork() == 0:
        _guard(progress)


def _guard(progress: int) -> None:
    """Wait until nobody reads the progress any more, then end the whole process group.

    The kernel ends the worker when its parent dies, but not what the worker has started.
    """
    poll = select.poll()
    poll.register(progress, 0)  # an error is reported without being asked for
    poll.poll()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
