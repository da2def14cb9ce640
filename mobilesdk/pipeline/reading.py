"""Read the models of a request, unless nothing that they were made from has changed.

A frontend records what a model was made from, as a compiler writes a dependency file: source files,
weight files, versions of distributions. The next build looks at those, and imports no framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mobilesdk.bundle.canonical import canonical_json, sha256_file, sha256_json
from mobilesdk.bundle.writing import write_file
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.source import Reference
from mobilesdk.errors import InvalidModel, StepFailed
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.doctor import require
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.keys import step_key, version_of
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.request import ModelRequest, frontend_for
from mobilesdk.pipeline.running import Runner
from mobilesdk.pipeline.tasks import Listener, Task
from mobilesdk.plugins import Kind, frontend

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


class _File(Frozen):
    path: Path
    sha256: str


class Dependencies(Frozen):
    """What a model was made from; ``dependencies.json`` of a frontend.

    Attributes:
        files: Source and weight files outside of installed distributions, sorted by path.
        distributions: Name → version, ``None`` if it is gone.
    """

    files: tuple[_File, ...]
    distributions: dict[str, str | None]

    def now(self) -> Dependencies | None:
        """Give the same files and distributions as they are now; ``None`` if a file is gone."""
        if not all(file.path.is_file() for file in self.files):
            return None
        return Dependencies(
            files=tuple(_File(path=f.path, sha256=sha256_file(f.path)) for f in self.files),
            distributions={name: version_of(name) for name in self.distributions},
        )

    def portable(self) -> dict[str, Any]:
        """Give names, hashes and versions, wherever the files lie.

        A file is named by the last parts of its path, as few as tell it from the other files: two
        files of one name that change places are another model, and a moved folder is not.
        """
        paths = [file.path for file in self.files]
        files = sorted((_telling_name(file.path, paths), file.sha256) for file in self.files)
        return {"files": files, "distributions": self.distributions}


def _telling_name(path: Path, paths: Sequence[Path]) -> str:
    others = [other.parts for other in paths if other != path]
    for count in range(1, len(path.parts)):
        tail = path.parts[-count:]
        if all(other[-count:] != tail for other in others):
            return "/".join(tail)
    return path.as_posix()


class Reader:
    """Reads models in workers, through the cache."""

    def __init__(
        self, cache: Cache, workers: Workers, listener: Listener, plugin_files: tuple[Path, ...]
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._runner = Runner(cache, workers, listener, plugin_files)

    def read(self, request: ModelRequest) -> ReadModel:
        """Read one model.

        Raises:
            InvalidModel: No frontend takes the reference, or the factory failed.
            ToolchainMissing: The framework is not installed.
        """
        name = frontend_for(request.reference)
        place = _place(request, name)
        index = self._index(place)
        made_from = self._current(request, name, index)
        if made_from is None:
            with self._cache.alone(place, self._workers.pause):
                made_from = self._current(request, name, index) or self._run(request, name, index)
        return self._model(request, name, made_from)

    def known(self, request: ModelRequest) -> ReadModel | None:
        """Give a model that was read before and has not changed since; start no worker."""
        try:
            name = frontend_for(request.reference)
        except InvalidModel:
            return None
        made_from = self._current(request, name, self._index(_place(request, name)))
        return None if made_from is None else self._model(request, name, made_from)

    def _index(self, place: str) -> Path:
        return self._cache.root / "references" / f"{place}.json"

    def _model(self, request: ModelRequest, name: str, made_from: Dependencies) -> ReadModel:
        key = _key(request, name, made_from)
        content = (self._cache.folder(key) / SUMMARY_NAME).read_bytes()
        summary = ModelSummary.model_validate_json(content)
        return ReadModel(request, key, sha256_json(made_from.portable()), name, summary)

    def _current(self, request: ModelRequest, name: str, index: Path) -> Dependencies | None:
        """Give what the model is made from now, if it was read from just that before."""
        known = _load(index)
        now = None if known is None else known.now()
        if now is None or not self._cache.check(_key(request, name, now)):
            return None
        return now

    def _run(self, request: ModelRequest, name: str, index: Path) -> Dependencies:
        require(frontend(name).tools)
        config = request.source.model_dump(mode="json")
        key = f"read-{request.name}"
        task = Task(key, TaskKind.READ, name, config, {}, "read", request.name, ())
        with self._runner.begun(task) as run, self._cache.scratch("read") as folder:
            run.work(folder, {})
            content = (folder / _DEPENDENCIES_NAME).read_bytes()
            made_from = Dependencies.model_validate_json(content)
            if made_from.now() != made_from:
                raise InvalidModel(
                    f"A file that {request.reference} is made from changed while it was read.",
                    hint="build again when the files of the model are at rest.",
                )
            self._cache.put(folder, _key(request, name, made_from))
            write_file(index, canonical_json(made_from.model_dump(mode="json")))
        return made_from


def _place(request: ModelRequest, name: str) -> str:
    """Give the name under which it is noted what a reference was made from."""
    place = str(Reference.parse(request.reference).resolved())
    weights = None if request.weights is None else str(request.weights.resolve())
    return sha256_json([name, place, weights, request.trust_model, str(Path.cwd())])


def _key(request: ModelRequest, name: str, made_from: Dependencies) -> str:
    contract = request.contract
    return step_key(
        TaskKind.READ,
        plugin_kind=Kind.FRONTENDS,
        plugin=name,
        config={
            "function": Reference.parse(request.reference).function,
            "weights": _digest_of_weights(request, made_from),
            "contract": None if contract is None else contract.model_dump(mode="json"),
            "dependencies": made_from.portable(),
        },
        tools=frontend(name).tools,
    )


def _digest_of_weights(request: ModelRequest, made_from: Dependencies) -> str | None:
    if request.weights is None:
        return None
    place = request.weights.absolute()
    for file in made_from.files:
        if file.path == place:
            return file.sha256
    raise StepFailed(
        f"The frontend has read {request.reference} without {request.weights}.",
        hint="this is a bug in the frontend: it has to use the weights, or refuse them.",
    )


def _load(index: Path) -> Dependencies | None:
    """Read what a model was made from; ``None`` if nobody knows."""
    try:
        return Dependencies.model_validate_json(index.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
