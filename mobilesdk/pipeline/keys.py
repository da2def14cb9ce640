"""What a step's result depends on, as one SHA-256: the address of the result in the cache.

A key is made from the keys of the inputs, never from their bytes, so that a plan knows what is
cached before anything runs. It holds everything that may change the result: the step's own source
and all layers below it, its configuration, the versions of the tools, the CPU's instruction set,
the number of threads and the seed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path
from typing import Any

from mobilesdk.bundle.canonical import files_below, sha256_file, sha256_json
from mobilesdk.data.folder import entries_below
from mobilesdk.data.sources import source_digest as source_digest_of
from mobilesdk.pipeline.job import SEED, THREADS, TaskKind
from mobilesdk.plugins import Kind, Tool, source_path

_PACKAGE = Path(__file__).parent.parent
_BELOW_PLUGINS = (
    *("core", "numerics", "plugins", "data"),
    *("graph", "coreml", "flatbuffers", "lowering"),
)
_LAYERS: dict[TaskKind, tuple[str, ...]] = {
    TaskKind.INGEST: ("core", "data"),
    TaskKind.REFERENCE: _BELOW_PLUGINS,
    TaskKind.READ: _BELOW_PLUGINS,
    TaskKind.COMPRESS: _BELOW_PLUGINS,
    TaskKind.EXPORT: _BELOW_PLUGINS,
    TaskKind.REPLAY: _BELOW_PLUGINS,
    TaskKind.VERIFY: (*_BELOW_PLUGINS, "bundle", "targets", "verify"),
    TaskKind.FLOAT_OPS: _BELOW_PLUGINS,
    TaskKind.LAYERS: (*_BELOW_PLUGINS, "verify"),
}
_BASE_TOOLS = ("numpy", "pillow", "pydantic", "safetensors")


@cache
def _digest_of_layer(name: str) -> str:
    digest = hashlib.sha256()
    for path in files_below(_PACKAGE / name):
        if path.suffix == ".py":
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def source_digest(kind: TaskKind, plugin_kind: Kind | None, plugin: str) -> str:
    """Give the digest of the code that a step may run: its plug-in and the layers below."""
    parts = {name: _digest_of_layer(name) for name in _LAYERS[kind]}
    parts["steps"] = sha256_file(Path(__file__).with_name("steps.py"))
    if plugin_kind is not None:
        parts["plugin"] = sha256_file(source_path(plugin_kind, plugin))
    return sha256_json(parts)


@cache
def version_of(distribution: str) -> str | None:
    """Give the installed version of a distribution, or ``None``."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def tool_versions(tools: tuple[Tool, ...]) -> dict[str, str]:
    """Give the versions of the tools and of the base libraries; absent ones are left out."""
    names = [*_BASE_TOOLS, *(tool.distribution for tool in tools)]
    found = {name: version_of(name) for name in names}
    return {name: version for name, version in found.items() if version is not None}


@cache
def instruction_set() -> str:
    """Give the CPU's architecture and a digest of the features that change numerics."""
    features = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                features = " ".join(sorted(line.partition(":")[2].split()))
                break
    except OSError:
        features = "unknown"
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"


def step_key(
    kind: TaskKind,
    *,
    plugin_kind: Kind | None = None,
    plugin: str = "",
    config: Any = None,
    inputs: dict[str, str] | None = None,
    tools: tuple[Tool, ...] = (),
) -> str:
    """Give the address of a step's result.

    Args:
        kind: What is done.
        plugin_kind: Folder of the plug-in that does it.
        plugin: Its name.
        config: Its configuration, as JSON values.
        inputs: Role → key of the input.
        tools: Toolchains whose versions matter.
    """
    return sha256_json(
        {
            "kind": kind.value,
            "plugin": plugin,
            "source": source_digest(kind, plugin_kind, plugin),
            "config": config,
            "inputs": inputs or {},
            "tools": tool_versions(tools),
            "python": platform.python_version(),
            "instruction_set": instruction_set(),
            "threads": THREADS,
            "seed": SEED,
        }
    )


def content_digest(path: Path) -> str:
    """Give the digest of a data set's files: names and bytes, not the place they lie in.

    A link counts as what it leads to, as it does for what reads the set; one that leads nowhere
    counts by its name.
    """
    if path.is_file():
        return sha256_file(path)
    digests = {
        item.relative_to(path).as_posix(): sha256_file(item) if item.is_file() else None
        for item in entries_below(path)
    }
    return sha256_json(digests)


def set_digest(path: Path) -> str | None:
    """Give the digest of a set: of its files, or of the sources of a function that gives it.

    Returns:
        SHA-256; ``None`` if there is no such set.
    """
    return content_digest(path) if path.exists() else source_digest_of(str(path))


def is_set(path: Path) -> bool:
    """Tell whether there is such a set, without reading it."""
    return path.exists() or source_digest_of(str(path)) is not None
