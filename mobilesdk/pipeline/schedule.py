"""Run the tasks of a plan on the local cores, each one once, in the order of their inputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from mobilesdk.errors import MobileSDKError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.running import Runner
from mobilesdk.pipeline.tasks import Event, Listener, Task

_WORKER_MEMORY_BYTES = 3 << 30


def worker_count() -> int:
    """Give how many workers run at once: one a core, and 3 GiB of memory each."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory_bytes // _WORKER_MEMORY_BYTES))


class Schedule:
    """Runs tasks whose results are not in the cache.

    A failed task fails those that need it, with the same error; the others finish.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        cache: Cache,
        workers: Workers,
        listener: Listener,
        plugin_files: tuple[Path, ...] = (),
    ) -> None:
        self._tasks = tasks
        self._cache = cache
        self._workers = workers
        self._listener = listener
        self._runner = Runner(cache, workers, listener, plugin_files)

    def run(self, wanted: Iterable[str]) -> dict[str, MobileSDKError]:
        """Make the wanted results; give the errors of those that could not be made."""
        waiting = self._missing(wanted)
        failures: dict[str, MobileSDKError] = {}
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(worker_count()) as pool:
            try:
                while waiting or running:
                    for key in self._ready(waiting, running, failures):
                        running[pool.submit(self._make, self._tasks[key])] = key
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        key = running.pop(future)
                        waiting.remove(key)
                        error = future.exception()
                        if error is None:
                            continue
                        if not isinstance(error, MobileSDKError):
                            raise error
                        failures[key] = error
            except BaseException:
                self._workers.stop()
                raise
        return failures

    def _missing(self, wanted: Iterable[str]) -> list[str]:
        """List what has to be made: results that are wanted or needed, and not cached."""
        missing: dict[str, None] = {}
        seen: set[str] = set()
        pending = list(wanted)
        while pending:
            key = pending.pop()
            if key in seen or key not in self._tasks:
                continue  # what is no task was made before the plan: a model that was read
            seen.add(key)
            task = self._tasks[key]
            if self._cache.check(key):
                self._listener(Event("cached", task))
            else:
                missing[key] = None
                pending.extend(task.inputs.values())
        return list(missing)

    def _ready(
        self,
        waiting: list[str],
        running: Mapping[Future[None], str],
        failures: dict[str, MobileSDKError],
    ) -> list[str]:
        """List tasks whose inputs are made, the one with most targets first; fail the hopeless."""
        changed = True
        while changed:
            changed = False
            for key in [key for key in waiting if key not in running.values()]:
                inputs = self._tasks[key].inputs.values()
                lost = [failures[name] for name in inputs if name in failures]
                if lost:
                    failures[key] = lost[0]
                    waiting.remove(key)
                    changed = True
        ready = [
            key
            for key in waiting
            if key not in running.values()
            and not any(name in waiting for name in self._tasks[key].inputs.values())
        ]
        return sorted(ready, key=lambda key: (-len(self._tasks[key].targets), key))

    def _make(self, task: Task) -> None:
        with (
            self._runner.begun(task) as run,
            self._cache.make(task.key, self._workers.pause) as folder,
        ):
            if folder is not None:
                inputs = {role: self._cache.folder(key) for role, key in task.inputs.items()}
                run.work(folder, inputs)
