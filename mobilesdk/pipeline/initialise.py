"""Write ``mobilesdk.toml`` for a model: read it, see which targets it reaches, write that down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mobilesdk.bundle.writing import write_file
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.plan import Unreachable
from mobilesdk.errors import OutputExists
from mobilesdk.pipeline.build import make_plan, refuse
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.preflight import missing_sets, preflight
from mobilesdk.pipeline.project_text import project_text
from mobilesdk.pipeline.request import BuildRequest
from mobilesdk.pipeline.tasks import Listener


class Project(Frozen):
    """A project file that was written.

    Attributes:
        output: The file.
        targets: Those in reach, the highest priority first.
        unreachable: The others, which stand in the file as comments.
    """

    output: Path
    model: str
    targets: tuple[str, ...]
    unreachable: tuple[Unreachable, ...]


def write_project(
    request: BuildRequest,
    output: Path,
    *,
    overwrite: bool,
    cache: Cache,
    workers: Workers,
    listener: Listener,
) -> Project:
    """Read the one model of a request and write its project file.

    The sets are named in the file; whether they can be used is told by a plan.

    Raises:
        OutputExists: The file is there, and ``overwrite`` is false.
        InvalidDataset: A set does not exist.
        UsageError: The model cannot be read.
        ToolchainMissing: The model's framework is not installed.
        WriteFailed: The file system refused.
    """
    if output.exists() and not overwrite:
        raise OutputExists(
            f"{output} exists.", hint="give --overwrite to replace it, or name another file."
        )
    (asked,) = request.models
    missing = missing_sets(asked)
    if missing:
        raise missing[0]
    without_sets = asked.model_copy(update={"calibration": None, "evaluation": None})
    reading = request.model_copy(update={"models": (without_sets,)})
    plan, graph, models = make_plan(reading, cache, workers, listener)
    if plan.unread:
        refuse(plan, preflight(reading))
    (model,) = models
    text = project_text(replace(model, request=asked), plan, graph, folder=output.parent)
    write_file(output, text.encode())
    return Project(
        output=output,
        model=asked.name,
        targets=tuple(variant.target for variant in plan.variants),
        unreachable=plan.unreachable,
    )
