"""Read the models of a request, unless nothing that they were made from has changed.

A frontend records what a model was made from, as a compiler writes a dependency file: source files,
weight files, versions of distributions. The next build looks at those, and imports no framework.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilesdk.bundle.canonical import canonical_json, sha256_file, sha256_json
from mobilesdk.bundle.writing import write_file
from mobilesdk.core.model import ModelSummary
from mobilesdk.errors import InvalidModel, MobileSDKError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.doctor import require
from mobilesdk.pipeline.job import LOG_NAME, Job, TaskKind
from mobilesdk.pipeline.keys import step_key, version_of
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.request import ModelRequest
from mobilesdk.pipeline.schedule import Event, Listener, Task
from mobilesdk.plugins import Kind, frontend, names

SUMMARY_NAME = "summary.json"
_DEPENDENCIES_NAME = "dependencies.json"


@dataclass(frozen=True)
class ReadModel:
    """A model that a frontend has read.

    Attributes:
        key: Address of what the frontend wrote.
        sha256: Of what the model was made from.
    """

    request: ModelRequest
    key: str
    sha256: str
    frontend: str
    summary: ModelSummary


class Reader:
    """Reads models in workers, through the cache."""

    def __init__(
        self, cache: Cache, workers: Workers, listener: Listener, plugin_files: tuple[Path, ...]
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._listener = listener
        self._plugin_files = plugin_files

    def read(self, request: ModelRequest) -> ReadModel:
        """Read one model.

        Raises:
            InvalidModel: No frontend takes the reference, or the factory failed.
            ToolchainMissing: The framework is not installed.
        """
        name = _frontend_for(request.reference)
        index = self._cache.root / "references" / f"{self._lookup(request, name)}.json"
        known = _load(index)
        key = None if known is None else self._key(request, name, known)
        if known is None or key is None or not self._cache.check(key):
            known, key = self._run(request, name, index)
        folder = self._cache.folder(key)
        summary = ModelSummary.model_validate_json((folder / SUMMARY_NAME).read_bytes())
        return ReadModel(request, key, sha256_json(_portable(known)), name, summary)

    def _lookup(self, request: ModelRequest, name: str) -> str:
        source, _, function = request.reference.rpartition(":")
        place = str(Path(source).resolve()) if source.endswith(".py") else source
        return sha256_json([name, place, function, str(Path.cwd())])

    def _key(self, request: ModelRequest, name: str, known: dict[str, Any]) -> str | None:
        """Give the key for the dependencies as they are now; ``None`` if a file is gone."""
        now = _now(known)
        if now is None:
            return None
        return step_key(
            TaskKind.READ,
            plugin_kind=Kind.FRONTENDS,
            plugin=name,
            config={
                "function": request.reference.rpartition(":")[2],
                "contract": _contract(request),
                "dependencies": _portable(now),
            },
            tools=frontend(name).tools,
        )

    def _run(self, request: ModelRequest, name: str, index: Path) -> tuple[dict[str, Any], str]:
        require(frontend(name).tools)
        config = {"reference": request.reference, "contract": _contract(request)}
        task = Task("", TaskKind.READ, name, config, {}, "read", request.name, ())
        started_s = time.monotonic()
        self._listener(Event("started", task))
        with self._cache.scratch("read") as folder:
            job = Job(
                kind=TaskKind.READ,
                plugin=name,
                plugin_files=self._plugin_files,
                config=config,
                output=folder,
            )
            try:
                self._workers.run(job, lambda *_: None)
            except MobileSDKError as error:
                log = self._cache.keep_failure(f"read-{request.name}", folder / LOG_NAME)
                error.hint = f"{error.hint} The whole log: {log}".strip()
                self._listener(Event("failed", task, error.message))
                raise
            known = json.loads((folder / _DEPENDENCIES_NAME).read_bytes())
            key = self._key(request, name, known)
            if key is None:
                raise InvalidModel(
                    f"A file that {request.reference} was made from vanished while it was read.",
                    hint="keep the files of the model in place and build again.",
                )
            self._cache.put(folder, key)
        write_file(index, canonical_json(known))
        self._listener(Event("finished", task, seconds=time.monotonic() - started_s))
        return known, key


def _frontend_for(reference: str) -> str:
    for name in names(Kind.FRONTENDS):
        if frontend(name).claims(reference):
            return name
    raise InvalidModel(
        f"No frontend takes {reference!r}.",
        hint="give package.module:factory or path/to/file.py:function.",
    )


def _contract(request: ModelRequest) -> Any:
    return None if request.contract is None else request.contract.model_dump(mode="json")


def _load(index: Path) -> dict[str, Any] | None:
    if not index.is_file():
        return None
    known: dict[str, Any] = json.loads(index.read_bytes())
    return known


def _now(known: dict[str, Any]) -> dict[str, Any] | None:
    """Give the dependencies with today's hashes and versions; ``None`` if a file is gone."""
    files = []
    for entry in known["files"]:
        path = Path(entry["path"])
        if not path.is_file():
            return None
        files.append({"path": entry["path"], "sha256": sha256_file(path)})
    versions = {name: version_of(name) for name in known["distributions"]}
    return {"files": files, "distributions": versions}


def _portable(known: dict[str, Any]) -> dict[str, Any]:
    """Give the dependencies without the folder they lie in: names, hashes, versions."""
    files = sorted((Path(entry["path"]).name, entry["sha256"]) for entry in known["files"])
    return {"files": files, "distributions": known["distributions"]}
