"""Discovery of plug-ins by file name, and the contract that each kind holds to."""

from mobilesdk.plugins.contract import (
    PLUGIN_API,
    Compressor,
    ExecutedBy,
    Exporter,
    ExportOptions,
    Frontend,
    ObservedSession,
    ObservingRuntime,
    ProfilingRuntime,
    Runtime,
    RuntimeSession,
    Tool,
)
from mobilesdk.plugins.discovery import (
    Kind,
    add_file,
    compressor,
    exporter,
    frontend,
    names,
    runtime,
    source_path,
)

__all__ = [
    "PLUGIN_API",
    "Compressor",
    "ExecutedBy",
    "ExportOptions",
    "Exporter",
    "Frontend",
    "Kind",
    "ObservedSession",
    "ObservingRuntime",
    "ProfilingRuntime",
    "Runtime",
    "RuntimeSession",
    "Tool",
    "add_file",
    "compressor",
    "exporter",
    "frontend",
    "names",
    "runtime",
    "source_path",
]
