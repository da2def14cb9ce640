"""Make the plan of a build: pure data, every problem at once, every shared step once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilesdk.core.plan import Plan, PlannedStep, PlannedVariant, Unreachable
from mobilesdk.data.folder import unreadable
from mobilesdk.data.sources import source_digest
from mobilesdk.errors import NO_PLACE, Place, PlanRefused, Problem, UsageError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.chain import Chain
from mobilesdk.pipeline.doctor import tool_faults
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.keys import content_digest, set_digest, step_key
from mobilesdk.pipeline.preflight import Preflight
from mobilesdk.pipeline.reading import ReadModel
from mobilesdk.pipeline.request import BuildRequest
from mobilesdk.pipeline.task_graph import Findings, Graph, VariantTasks
from mobilesdk.pipeline.tasks import Task
from mobilesdk.plugins import frontend
from mobilesdk.targets import Target, Unsupported, load_profile, profile_line


class Planner:
    """Makes a plan from models that have been read.

    Attributes:
        graph: The tasks; before `plan`, those that prepare the sets and the float outputs.
    """

    def __init__(self, request: BuildRequest, models: Sequence[ReadModel], cache: Cache) -> None:
        self._models = models
        self._cache = cache
        self._findings = Findings(explicit=bool(request.targets))
        self.graph = Graph()
        for model in models:
            add_preparation(self.graph, model, allow_small=request.allow_small_calibration)
            if request.layer_sample_count and "evaluation" in self.graph.sets[model.request.name]:
                add_float_ops(self.graph, model, request.layer_sample_count)

    def plan(self, before: Preflight) -> Plan:
        """Give the plan, with every problem that was found; add its tasks to the graph."""
        self._findings.problems.extend(before.problems)
        self._findings.tools.extend(before.tools)
        for model in self._models:
            for target, beside in before.targets:
                self._add_variant(model, target, beside)
        if not self.graph.variants and not self._findings.problems:
            self._findings.problems.append(_none_in_reach(self._findings.unreachable))
        return self._as_plan()

    def _add_variant(self, model: ReadModel, target: Target, beside: Path) -> None:
        named = model.request.profiles.get(target.id) or target.profile_for(model.summary.family)
        place = _place(model, target, beside)
        if isinstance(named, Unsupported):
            self._findings.refuse(model.request.name, target.id, [named.unsupported], place)
            return
        try:
            profile = load_profile(named, beside)
        except UsageError:
            return  # a problem that was noted before the model was read
        Chain(self.graph, self._findings, model, target, named, profile, place).add()

    def _as_plan(self) -> Plan:
        return Plan(
            variants=tuple(self._planned(variant) for variant in self.graph.variants),
            unreachable=tuple(self._findings.unreachable),
            problems=tuple(dict.fromkeys(self._findings.problems)),
            missing_tools=tool_faults(self._findings.tools),
        )

    def _planned(self, variant: VariantTasks) -> PlannedVariant:
        steps = []
        for key in variant.steps:
            task = self.graph.tasks[key]
            steps.append(
                PlannedStep(
                    key=key,
                    title=task.title,
                    detail=_one_line(task.config) if task.kind is TaskKind.COMPRESS else "",
                    cached=self._cache.has(key),
                    shared_by=len(task.targets),
                )
            )
        return PlannedVariant(
            model=variant.model.request.name,
            target=variant.target.id,
            target_title=variant.target.title,
            format=variant.target.export.format,
            profile=variant.profile_name,
            steps=tuple(steps),
        )


def _none_in_reach(unreachable: Sequence[Unreachable]) -> Problem:
    listed = "; ".join(f"{each.model} for {each.target}: {each.reason}" for each in unreachable)
    return Problem(
        PlanRefused.code,
        f"No target is in reach of any model: {listed or 'there is none'}.",
        "change what the reasons name, or write a target with another profile.",
    )


def _place(model: ReadModel, target: Target, beside: Path) -> Place:
    """Give the line that chooses the profile, unless the project chooses another one."""
    if target.id in model.request.profiles:
        return NO_PLACE
    path = beside / f"{target.id}.toml"
    return Place(str(path), profile_line(path, model.summary.family))


def add_preparation(graph: Graph, model: ReadModel, *, allow_small: bool) -> None:
    """Add the tasks that all variants of a model share: its sets and its float outputs.

    Sets that do not exist are left out.

    Raises:
        InvalidDataset: A set cannot be read.
    """
    request = model.request
    paths = {"calibration": request.calibration, "evaluation": request.evaluation}
    sets: dict[str, str] = {}
    for role, path in paths.items():
        try:
            digest = None if path is None else set_digest(path)
        except OSError as error:
            what = f"{request.name}: the {role} set"
            raise unreadable(Path(str(path)), error).about(what) from error
        if digest is not None:
            sets[role] = _add_set(graph, model, role, digest, allow_small=allow_small)
    graph.sets[request.name] = sets
    tools = frontend(model.frontend).tools
    inputs = {"read": model.key, **sets}
    key = step_key(TaskKind.REFERENCE, inputs=inputs, tools=tools)
    task = Task(key, TaskKind.REFERENCE, "", {}, inputs, "float outputs", request.name, ())
    graph.references[request.name] = graph.add(task)


def add_float_ops(graph: Graph, model: ReadModel, sample_count: int) -> None:
    """Add the task that gives the values of the float ops on the first evaluation samples."""
    name = model.request.name
    config = {"count": sample_count}
    inputs = {"read": model.key, "evaluation": graph.sets[name]["evaluation"]}
    tools = frontend(model.frontend).tools
    key = step_key(TaskKind.FLOAT_OPS, config=config, inputs=inputs, tools=tools)
    task = Task(key, TaskKind.FLOAT_OPS, "", config, inputs, "float values", name, ())
    graph.float_ops[name] = graph.add(task)


def _add_set(graph: Graph, model: ReadModel, role: str, digest: str, *, allow_small: bool) -> str:
    request = model.request
    is_evaluation = role == "evaluation"
    path = request.evaluation if is_evaluation else request.calibration
    labels = request.labels if is_evaluation else None
    tokenizer = request.tokenizer
    config = {
        "path": str(path),
        "allow_small": allow_small,
        "labels": None if labels is None else str(labels),
        "tokenizer": tokenizer,
    }
    content = {
        "content": digest,
        "allow_small": allow_small,
        "labels": content_digest(labels) if labels is not None and labels.is_file() else None,
        "tokenizer": None if tokenizer is None else source_digest(tokenizer),
    }
    inputs = {"read": model.key}
    key = step_key(TaskKind.INGEST, config=content, inputs=inputs)
    return graph.add(
        Task(key, TaskKind.INGEST, "", config, inputs, f"{role} set", model.request.name, ())
    )


def _one_line(config: dict[str, Any]) -> str:
    parts: list[str] = []
    for name, value in config.items():
        if isinstance(value, dict):
            parts.extend(f"{name}.{key}={item}" for key, item in value.items() if item is not None)
        elif value is not None:
            parts.append(f"{name}={value}")
    return " ".join(parts)
