"""What the worker of a task finds imported."""

from __future__ import annotations

from collections.abc import Callable

from mobilesdk.pipeline.job import TaskKind
from mobilesdk.plugins import compressor, exporter, frontend, runtime
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Plugin

_PLUGINS: dict[TaskKind, Callable[[str], Plugin]] = {
    TaskKind.READ: frontend,
    TaskKind.COMPRESS: compressor,
    TaskKind.EXPORT: exporter,
    TaskKind.VERIFY: runtime,
    TaskKind.REPLAY: runtime,
    TaskKind.LAYERS: runtime,
    TaskKind.PROFILE: runtime,
}
_ON_PROGRAMS = frozenset({TaskKind.REFERENCE, TaskKind.FLOAT_OPS})


def preloads(kind: TaskKind, plugin: str) -> tuple[str, ...]:
    """Give the `preloads` of the plug-in that does a task, or of the task itself."""
    if kind in _PLUGINS:
        return _PLUGINS[kind](plugin).preloads
    return PROGRAM_PRELOADS if kind in _ON_PROGRAMS else ()
