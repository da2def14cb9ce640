"""Run a task in a worker, and tell of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mobilesdk.errors import MobileSDKError, WriteFailed
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.job import LOG_NAME, Job
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.preloading import preloads
from mobilesdk.pipeline.tasks import Event, Listener, Task, Usage


class Run:
    """A task that was begun."""

    def __init__(self, task: Task, runner: Runner) -> None:
        self._task = task
        self._runner = runner
        self.usage: Usage | None = None

    def work(self, folder: Path, inputs: Mapping[str, Path]) -> None:
        """Have a worker do it.

        Args:
            folder: An empty folder for what it makes.
            inputs: Role → folder of the finished task that gives it.

        Raises:
            MobileSDKError: What `Workers.run` raises; the hint names the log if that helps.
        """
        self._runner.work(self, self._task, folder, inputs)

    def report(self, message: str, fraction: float | None) -> None:
        """Tell how far it is."""
        self._runner.tell(Event("progress", self._task, message, fraction))

    def note(self, usage: Usage) -> None:
        """Keep what its worker used."""
        self.usage = usage


class Runner:
    """Runs tasks in workers; one place for their events, their logs and what they use."""

    def __init__(
        self,
        cache: Cache,
        workers: Workers,
        listener: Listener,
        plugin_files: tuple[Path, ...] = (),
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._plugin_files = plugin_files
        self.tell = listener

    @contextmanager
    def begun(self, task: Task) -> Iterator[Run]:
        """Tell that a task has started, and, when the block ends, how it ended."""
        started_s = time.monotonic()
        self.tell(Event("started", task))
        run = Run(task, self)
        try:
            yield run
        except MobileSDKError as error:
            if not self._workers.stopped:  # else it did not fail by itself
                seconds = time.monotonic() - started_s
                event = Event("failed", task, error.message, seconds=seconds, usage=run.usage)
                self.tell(event)
            raise
        seconds = time.monotonic() - started_s
        self.tell(Event("finished", task, seconds=seconds, usage=run.usage))

    def work(self, run: Run, task: Task, folder: Path, inputs: Mapping[str, Path]) -> None:
        """Run the worker of a task that was begun; keep its log if it fails."""
        job = Job(
            kind=task.kind,
            plugin=task.plugin,
            plugin_files=self._plugin_files,
            preloads=preloads(task.kind, task.plugin),
            config=task.config,
            inputs=dict(inputs),
            output=folder,
        )
        try:
            self._workers.run(job, run.report, title=task.sentence, note=run.note)
        except MobileSDKError as error:
            self._keep_log(error, task, folder)
            raise

    def _keep_log(self, error: MobileSDKError, task: Task, folder: Path) -> None:
        """Keep the log of a failed step; name its place in the hint if it says more."""
        try:
            place = f"The whole log: {self._cache.keep_failure(task.key, folder / LOG_NAME)}"
        except WriteFailed as refused:
            place = f"The log could not be kept: {refused.message}"
        if error.log_helps:
            error.hint = f"{error.hint}\n{place}".strip()
