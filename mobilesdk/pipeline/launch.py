"""Run one job in a worker process, within limits, and bring its errors back typed."""

from __future__ import annotations

import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from mobilesdk.bundle.writing import is_full, write_errors
from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import (
    MobileSDKError,
    Place,
    StepFailed,
    WorkerCrashed,
    WorkerOutOfMemory,
    WorkerTimedOut,
    WriteFailed,
    error_classes,
)
from mobilesdk.pipeline.job import JOB_NAME, LOG_NAME, OUTCOME_NAME, Job, Outcome, read_outcome
from mobilesdk.pipeline.tasks import Usage
from mobilesdk.pipeline.template import Template, Worker, base_among
from mobilesdk.pipeline.worker import UNWRITTEN_EXIT_CODE
from mobilesdk.units import format_bytes, format_seconds

_POLL_S = 0.2
_LOG_LINES = 15
_CHUNK_BYTES = 1 << 16

Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Limits:
    """What one worker may use.

    Attributes:
        seconds: Wall time.
        memory_bytes: Resident memory of the worker and its children.
    """

    seconds: float
    memory_bytes: int


class Workers:
    """Makes workers, and keeps those that are running, so that all can be ended at once.

    Workers that need the same toolchain are copies of one process that has imported it, and that is
    a copy of one that has imported the beginning of it, if there is one.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._templates: list[Template] = []
        self._running: set[Worker] = set()
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        with self._lock:
            for template in reversed(self._templates):  # a copy before what it is a copy of
                template.close()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End every running worker with its children, and start no more.

        Should this be interrupted, the threads that watch the workers end them.
        """
        self._stopping.set()
        with self._lock:
            for worker in self._running:
                worker.kill()

    def pause(self) -> None:
        """Wait a moment, for something that another build is making.

        Raises:
            StepFailed: `stop` was called.
        """
        if self._stopping.wait(_POLL_S):
            raise StepFailed("The build was stopped.")

    def run(
        self,
        job: Job,
        report: Report,
        *,
        title: str = "",
        note: Callable[[Usage], None] | None = None,
    ) -> Outcome:
        """Run a job and give what it left.

        Args:
            job: What is to be done.
            report: Called with each message of progress, and the fraction that is done, or None.
            title: Names the step in errors; without it, its kind and plug-in do.
            note: Called with what the worker used, however it ended, if that is known.

        Raises:
            MobileSDKError: What the step raised, restored.
            WorkerCrashed: It ended by a signal, or without an outcome.
            WorkerTimedOut: It took too long.
            WorkerOutOfMemory: It took too much memory.
            WriteFailed: The disk is full.
        """
        title = title or f"{job.kind.value} {job.plugin}".rstrip()
        with self._started(job, title, note) as worker:
            _watch(worker, self.limits, report, title, self._stopping)
        return _outcome(job, worker, title)

    def imports(self) -> list[tuple[tuple[str, ...], Usage]]:
        """Give what the running templates import, and what that took."""
        with self._lock:
            found = [(template.imported, template.usage()) for template in self._templates]
        return [(imported, usage) for imported, usage in found if usage is not None]

    @contextmanager
    def _started(
        self, job: Job, title: str, note: Callable[[Usage], None] | None
    ) -> Iterator[Worker]:
        with write_errors(job.output):
            (job.output / JOB_NAME).write_text(job.model_dump_json(), encoding="utf-8")
            log = (job.output / LOG_NAME).open("wb")
        with log, self._lock:
            if self.stopped:
                raise StepFailed(f"{title} was not started: the build was stopped.")
            worker = Worker(self._template(job), job.output / JOB_NAME, log.fileno())
            self._running.add(worker)
        try:
            yield worker
        finally:
            worker.close()
            with self._lock:
                self._running.discard(worker)
            if note is not None and worker.usage is not None:
                note(worker.usage)

    def _template(self, job: Job) -> Template:
        for template in self._templates:
            if template.preloads == job.preloads and not template.ended:
                return template
        base = base_among(self._templates, job.preloads)
        self._templates.append(Template(job.preloads, _environment(job), base))
        return self._templates[-1]


def _environment(job: Job) -> dict[str, str]:
    threads = str(job.threads)
    return os.environ | {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",  # spinning threads of two workers starve each other
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",  # what steps and toolchains write must not depend on the locale
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _watch(
    worker: Worker, limits: Limits, report: Report, title: str, stopping: threading.Event
) -> None:
    """Wait for the end of the worker; raise when it exceeds a limit or all are to stop."""
    deadline_s = time.monotonic() + limits.seconds
    next_look_s = 0.0
    lines = _Lines(worker.progress, report, title)
    with selectors.DefaultSelector() as selector:
        selector.register(worker.progress, selectors.EVENT_READ)
        selector.register(worker.status, selectors.EVENT_READ)
        while not worker.ended:
            if stopping.is_set():
                raise StepFailed(f"{title} was ended: the build was stopped.")
            ready = {key.fd for key, _ in selector.select(_POLL_S)}
            if worker.progress in ready and not lines.forward():
                selector.unregister(worker.progress)
            if worker.status in ready:
                worker.hear()
            if time.monotonic() >= next_look_s:
                _check_limits(worker, deadline_s, limits, title)
                next_look_s = time.monotonic() + _POLL_S
    os.set_blocking(worker.progress, False)  # what it has started may hold the other end
    while lines.forward():
        pass


def _check_limits(worker: Worker, deadline_s: float, limits: Limits, title: str) -> None:
    if time.monotonic() > deadline_s:
        raise WorkerTimedOut(
            f"{title} took more than {format_seconds(limits.seconds)}.",
            hint="raise the limit with --time-limit, or make the model or set smaller.",
        )
    if worker.resident_bytes() > limits.memory_bytes:
        raise WorkerOutOfMemory(
            f"{title} took more than {format_bytes(limits.memory_bytes)} of memory.",
            hint="raise the limit with --memory-limit, or use fewer calibration samples.",
        )


class _Progress(Frozen):
    message: str
    fraction: float | None


class _Lines:
    """The lines of progress that a worker writes to its descriptor."""

    def __init__(self, descriptor: int, report: Report, title: str) -> None:
        self._descriptor = descriptor
        self._report = report
        self._title = title
        self._pending = b""

    def forward(self) -> bool:
        """Read what has come, and forward whole lines; tell whether there may be more.

        Raises:
            WorkerCrashed: A line is no progress: something wrote to the descriptor.
        """
        try:
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            try:
                progress = _Progress.model_validate_json(line)
            except ValidationError as error:
                raise WorkerCrashed(
                    f"{self._title} wrote what is no progress: {line[:80]!r}.",
                    hint="a plug-in or toolchain writes to a descriptor that is not its own.",
                ) from error
            self._report(progress.message, progress.fraction)
        return bool(chunk)


def _outcome(job: Job, worker: Worker, title: str) -> Outcome:
    returncode = worker.returncode
    if returncode == 0 and (job.output / OUTCOME_NAME).is_file():
        outcome = read_outcome(job.output)
        if outcome.error is not None:
            raise restore(outcome.error)
        return outcome
    if returncode == UNWRITTEN_EXIT_CODE or is_full(job.output):
        raise WriteFailed(
            f"{title} could not write its result below {job.output.parent}.",
            hint="free some space, or name another cache with XDG_CACHE_HOME.",
        )
    words = _end_of(job.output / LOG_NAME)
    if returncode is None:
        how, words = "the end of the process that imports its toolchain", worker.last_words()
    elif returncode < 0:
        how = f"signal {signal.Signals(-returncode).name}"
    else:
        how = f"exit code {returncode} and no result"
    raise WorkerCrashed(
        f"{title} ended by {how}. Its last lines:\n{last_lines(words)}",
        hint="run mobilesdk doctor: some versions of the toolchains crash together. If it names "
        "none, the model or file is what its code cannot stand: report it with these lines.",
    )


def _end_of(log: Path) -> str:
    """Read the end of a log, which may be as long as the disk."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _CHUNK_BYTES))
        return file.read(_CHUNK_BYTES).decode(errors="replace")


def restore(error: dict[str, Any]) -> MobileSDKError:
    """Make the typed error again that a worker wrote down.

    A class that is known in the worker only becomes `StepFailed`.
    """
    kind = error_classes().get(error["code"], StepFailed)
    place = Place(error.get("file", ""), error.get("line"))
    return kind.restore(error["message"], error["hint"], place=place)


def last_lines(text: str) -> str:
    """Give the last lines of what a process printed, indented."""
    return "\n".join(f"  | {line}" for line in text.splitlines()[-_LOG_LINES:]) or "  (nothing)"
