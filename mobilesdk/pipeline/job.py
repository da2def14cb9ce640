"""What crosses the border to a worker: one file in, one file out, progress lines between."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

from mobilesdk.core.frozen import Frozen
from mobilesdk.core.model import Model
from mobilesdk.errors import MobileSDKError

JOB_SCHEMA_VERSION = 1
JOB_NAME = "job.json"
OUTCOME_NAME = "outcome.json"
LOG_NAME = "log.txt"
THREADS = 1
"""Of one worker: with more, the order of sums would depend on the machine."""
SEED = 0
"""Of all random choices of a step."""


class TaskKind(StrEnum):
    """What a worker does; each is one function in `mobilesdk.pipeline.steps`."""

    READ = "read"
    INGEST = "ingest"
    REFERENCE = "reference"
    COMPRESS = "compress"
    EXPORT = "export"
    VERIFY = "verify"
    REPLAY = "replay"
    FLOAT_OPS = "float_ops"
    LAYERS = "layers"
    PROFILE = "profile"


class Job(Frozen):
    """The file that a worker reads.

    Attributes:
        plugin: Name of the plug-in that does the work; empty for steps that need none.
        plugin_files: Files given by ``--plugin``.
        preloads: What the worker finds imported: modules, or ``module:function`` that imports.
        config: Configuration of the step, JSON.
        inputs: Role → folder of the finished task that gives it.
        output: An empty folder to write into.
    """

    schema_version: int = JOB_SCHEMA_VERSION
    kind: TaskKind
    plugin: str = ""
    plugin_files: tuple[Path, ...] = ()
    preloads: tuple[str, ...] = ()
    config: dict[str, Any] = {}
    inputs: dict[str, Path] = {}
    output: Path
    threads: int = THREADS
    seed: int = SEED


class Outcome(Frozen):
    """The file that a worker leaves; paths in it are relative to the folder it lies in.

    Attributes:
        model: The model that the step made, if it makes one.
        error: The fields of the error that it ended in (`MobileSDKError.to_json`).
    """

    schema_version: int = JOB_SCHEMA_VERSION
    model: Model | None = None
    error: dict[str, Any] | None = None


def read_outcome(folder: Path) -> Outcome:
    """Read the outcome in a folder, with the paths of its model made absolute."""
    outcome = Outcome.model_validate_json((folder / OUTCOME_NAME).read_bytes())
    if outcome.model is None:
        return outcome
    model = outcome.model.model_copy(
        update={
            "path": folder / outcome.model.path,
            "sidecars": {name: folder / path for name, path in outcome.model.sidecars.items()},
        }
    )
    return outcome.model_copy(update={"model": model})


def relative_to(model: Model, folder: Path) -> Model:
    """Give the model with paths relative to the folder that holds all its files.

    Raises:
        MobileSDKError: A path lies outside: the step broke its contract.
    """
    for name, path in {"path": model.path, **model.sidecars}.items():
        if not path.is_relative_to(folder):
            raise MobileSDKError(
                f"The step gave a model whose {name} is outside of the step's own folder.",
                hint="this is a bug in the plug-in: it has to write below context.output.",
            )
    return model.model_copy(
        update={
            "path": model.path.relative_to(folder),
            "sidecars": {name: path.relative_to(folder) for name, path in model.sidecars.items()},
        }
    )
