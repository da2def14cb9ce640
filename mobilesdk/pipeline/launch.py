"""Run one job in a worker process, within limits, and bring its errors back typed."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobilesdk.errors import (
    MobileSDKError,
    StepFailed,
    WorkerCrashed,
    WorkerOutOfMemory,
    WorkerTimedOut,
    WriteFailed,
    error_classes,
)
from mobilesdk.pipeline.job import JOB_NAME, LOG_NAME, OUTCOME_NAME, Job, Outcome, read_outcome
from mobilesdk.units import format_bytes, format_seconds

PROGRESS_VARIABLE = "MOBILESDK_PROGRESS_FD"
PARENT_VARIABLE = "MOBILESDK_PARENT_PID"
_POLL_S = 0.2
_LOG_LINES = 15

Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Limits:
    """What one worker may use.

    Attributes:
        seconds: Wall time.
        memory_bytes: Resident memory of the worker and its children.
    """

    seconds: float = 3600.0
    memory_bytes: int = 16 << 30


class Workers:
    """The workers that are running now, so that all of them can be ended at once."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def stop(self) -> None:
        """End every running worker with its children, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill_group(process)

    def run(self, job: Job, report: Report) -> Outcome:
        """Run a job and give what it left.

        Raises:
            MobileSDKError: What the step raised, restored.
            WorkerCrashed: It ended by a signal, or without an outcome.
            WorkerTimedOut: It took too long.
            WorkerOutOfMemory: It took too much memory.
        """
        (job.output / JOB_NAME).write_text(job.model_dump_json())
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as progress:
            process = self._start(job, write_end)
            try:
                _watch(process, progress, self.limits, report, _title(job))
            finally:
                _kill_group(process)
                process.wait()
                with self._lock:
                    self._running.discard(process)
        return _outcome(job, process.returncode)

    def _start(self, job: Job, write_end: int) -> subprocess.Popen[bytes]:
        with self._lock, (job.output / LOG_NAME).open("wb") as log:
            try:
                if self._stopped:
                    raise StepFailed(f"{_title(job)} was not started: the build was stopped.")
                process = subprocess.Popen(
                    [sys.executable, "-m", "mobilesdk.pipeline.worker", str(job.output / JOB_NAME)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(write_end,),
                    start_new_session=True,
                    env=_environment(job, write_end),
                )
            finally:
                os.close(write_end)
            self._running.add(process)
        return process


def _environment(job: Job, write_end: int) -> dict[str, str]:
    threads = str(job.threads)
    return os.environ | {
        PROGRESS_VARIABLE: str(write_end),
        PARENT_VARIABLE: str(os.getpid()),
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",  # spinning threads of two workers starve each other
        "PYTHONHASHSEED": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _title(job: Job) -> str:
    return f"{job.kind.value} {job.plugin}".rstrip()


def _watch(
    process: subprocess.Popen[bytes], progress: object, limits: Limits, report: Report, title: str
) -> None:
    """Wait for the end of the worker; end it when it exceeds a limit."""
    deadline_s = time.monotonic() + limits.seconds
    pending = b""
    with selectors.DefaultSelector() as selector:
        descriptor = progress.fileno()  # type: ignore[attr-defined]
        selector.register(descriptor, selectors.EVENT_READ)
        while process.poll() is None:
            if selector.get_map() and selector.select(_POLL_S):
                chunk = os.read(descriptor, 1 << 16)
                if not chunk:
                    selector.unregister(descriptor)
                *lines, pending = (pending + chunk).split(b"\n")
                _forward(lines, report)
            elif not selector.get_map():
                _wait(process)
            if time.monotonic() > deadline_s:
                _kill_group(process)
                raise WorkerTimedOut(
                    f"{title} took more than {format_seconds(limits.seconds)}.",
                    hint="raise the limit with --time-limit, or make the model or set smaller.",
                )
            used_bytes = _resident_bytes(process.pid)
            if used_bytes > limits.memory_bytes:
                _kill_group(process)
                raise WorkerOutOfMemory(
                    f"{title} took more than {format_bytes(limits.memory_bytes)} of memory.",
                    hint="raise the limit with --memory-limit, or use fewer calibration samples.",
                )


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return


def _forward(lines: list[bytes], report: Report) -> None:
    for line in lines:
        message = json.loads(line)
        report(message["message"], message["fraction"])


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _resident_bytes(group: int) -> int:
    """Give the resident memory of all processes of a group (the worker starts its own)."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    total_bytes = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) == group:
                total_bytes += int((entry / "statm").read_text().split()[1]) * page_bytes
        except OSError:
            continue  # it ended between the listing and the look
    return total_bytes


def _outcome(job: Job, returncode: int) -> Outcome:
    log = job.output / LOG_NAME
    if returncode == WriteFailed.exit_code:
        raise WriteFailed(
            f"{_title(job)} could not write its result below {job.output.parent}.",
            hint="free some space, or name another cache with XDG_CACHE_HOME.",
        )
    if returncode != 0 or not (job.output / OUTCOME_NAME).is_file():
        how = f"signal {signal.Signals(-returncode).name}" if returncode < 0 else (
            f"exit code {returncode} and no result"
        )  # fmt: skip
        raise WorkerCrashed(
            f"{_title(job)} ended by {how}. Its last lines:\n{last_lines(log)}",
            hint="run mobilesdk doctor: some versions of the toolchains crash together.",
        )
    outcome = read_outcome(job.output)
    if outcome.error is not None:
        raise restore(outcome.error)
    return outcome


def restore(error: dict[str, str]) -> MobileSDKError:
    """Make the typed error again that a worker wrote down."""
    kind = error_classes()[error["code"]]
    return kind.restore(error["message"], error["hint"])


def last_lines(log: Path) -> str:
    """Give the last lines of a worker's log, indented."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"  | {line}" for line in text.splitlines()[-_LOG_LINES:]) or "  (nothing)"
