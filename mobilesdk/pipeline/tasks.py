"""The steps of a build, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mobilesdk.core.frozen import Frozen
from mobilesdk.pipeline.job import TaskKind


@dataclass(frozen=True)
class Task:
    """One step of a build: a node of the task graph, named by the address of its result.

    Attributes:
        config: JSON values for the worker.
        inputs: Role → key of the task that gives it.
        title: For people, e.g. ``quantize_static``.
        model: Name of the model it belongs to.
        targets: Targets that need it.
        size_bytes: About what it writes; 0 where that is little.
    """

    key: str
    kind: TaskKind
    plugin: str
    config: dict[str, Any]
    inputs: dict[str, str]
    title: str
    model: str
    targets: tuple[str, ...]
    size_bytes: int = 0

    @property
    def sentence(self) -> str:
        """Say which step of which variants it is, e.g. ``export coreml of net for apple-ane``."""
        whole = f"{self.title} of {self.model}"
        return f"{whole} for {', '.join(self.targets)}" if self.targets else whole


class Usage(Frozen):
    """What a process took of the machine.

    Attributes:
        cpu_seconds: Processor time, of the process and of the children that it waited for.
        peak_memory_bytes: Largest resident memory, as the memory limit counts it: of the process
            and of all that it started, with the pages that a worker shares with its template.
    """

    cpu_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Event:
    """Something that happened to a task.

    Attributes:
        seconds: Wall time, once it has ended; with the time that it waited for another build.
        usage: Of its worker, once that has ended; ``None`` if there was none or it is not known.
    """

    state: Literal["cached", "started", "progress", "finished", "failed"]
    task: Task
    message: str = ""
    fraction: float | None = None
    seconds: float = 0.0
    usage: Usage | None = None


Listener = Callable[[Event], None]
