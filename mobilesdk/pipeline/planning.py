"""Make the plan of a build: pure data, every problem at once, every shared step once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mobilesdk.core.plan import Plan, PlannedStep, PlannedVariant
from mobilesdk.errors import UsageError, suggest
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.chain import Chain
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.keys import content_digest, step_key
from mobilesdk.pipeline.reading import ReadModel
from mobilesdk.pipeline.request import BuildRequest, ModelRequest
from mobilesdk.pipeline.schedule import Task
from mobilesdk.pipeline.task_graph import Findings, Graph, VariantTasks
from mobilesdk.plugins import frontend
from mobilesdk.targets import Target, Unsupported, find_targets, load_profile, load_target, shipped


class Planner:
    """Makes a plan and its task graph from models that have been read."""

    def __init__(self, request: BuildRequest, cache: Cache) -> None:
        self._request = request
        self._cache = cache
        self._graph = Graph()
        self._findings = Findings(explicit=bool(request.targets))

    def plan(self, models: Iterable[ReadModel]) -> tuple[Plan, Graph]:
        """Give the plan and the graph; the plan holds every problem that was found."""
        targets = self._targets()
        for model in models:
            self.prepare(model)
            self._check_overrides(model.request, [target.id for target, _ in targets])
            for target, beside in targets:
                self._add_variant(model, target, beside)
        if not self._graph.variants and not self._findings.any:
            self._findings.problems.append("no target is in reach of any model")
        return self._as_plan(), self._graph

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against the build, apart from missing toolchains; each once."""
        return tuple(dict.fromkeys(self._findings.problems))

    def _targets(self) -> list[tuple[Target, Path]]:
        found: list[tuple[Target, Path]] = []
        for name in self._request.targets or shipped():
            try:
                for path in find_targets(name):
                    found.append((load_target(path), path.parent))  # noqa: PERF401  partial on error
            except UsageError as error:
                self._findings.problems.append(f"{error.message} {error.hint}".strip())
        names = [target.id for target, _ in found]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._findings.problems.append(f"two targets are named {name!r}")
        return sorted(found, key=lambda pair: (-pair[0].match.priority, pair[0].id))

    def _check_overrides(self, request: ModelRequest, targets: list[str]) -> None:
        known = sorted({*targets, *shipped(), *self._request.other_targets})
        self._findings.problems.extend(
            f"{request.name} names a profile for {name!r}, which is no target: "
            f"{suggest(name, known)}"
            for name in request.profiles
            if name not in known
        )

    def prepare(self, model: ReadModel) -> Graph:
        """Add the tasks that all variants of a model share: its sets and its float outputs."""
        request = model.request
        paths = {"calibration": request.calibration, "evaluation": request.evaluation}
        sets: dict[str, str] = {}
        for role, path in paths.items():
            if path is not None and path.exists():
                sets[role] = self._add_set(model, role, path, sets)
            elif path is not None:
                problem = f"{request.name}: the {role} set {path} does not exist"
                self._findings.problems.append(problem)
        self._graph.sets[request.name] = sets
        tools = frontend(model.frontend).tools
        inputs = {"read": model.key, **sets}
        key = step_key(TaskKind.REFERENCE, inputs=inputs, tools=tools)
        task = Task(key, TaskKind.REFERENCE, "", {}, inputs, "float outputs", request.name, ())
        self._graph.references[request.name] = self._graph.add(task)
        return self._graph

    def _add_set(self, model: ReadModel, role: str, path: Path, before: dict[str, str]) -> str:
        allow_small = self._request.allow_small_calibration
        config = {"path": str(path), "allow_small": allow_small}
        content = {"content": content_digest(path), "allow_small": allow_small}
        inputs = {"read": model.key, **before}
        key = step_key(TaskKind.INGEST, config=content, inputs=inputs)
        return self._graph.add(
            Task(key, TaskKind.INGEST, "", config, inputs, f"{role} set", model.request.name, ())
        )

    def _add_variant(self, model: ReadModel, target: Target, beside: Path) -> None:
        named = model.request.profiles.get(target.id) or target.profile_for(model.summary.family)
        if isinstance(named, Unsupported):
            self._findings.refuse(model.request.name, target.id, [named.unsupported])
            return
        try:
            profile = load_profile(named, beside)
        except UsageError as error:
            self._findings.problems.append(f"{target.id}: {error.message} {error.hint}".strip())
            return
        Chain(self._graph, self._findings, model, target, named, profile).add()

    def _as_plan(self) -> Plan:
        return Plan(
            variants=tuple(self._planned(variant) for variant in self._graph.variants),
            unreachable=tuple(self._findings.unreachable),
            problems=self.problems,
            missing_tools=self._findings.missing_tools,
        )

    def _planned(self, variant: VariantTasks) -> PlannedVariant:
        steps = []
        for key in (*variant.chain, variant.export, variant.verify):
            task = self._graph.tasks[key]
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


def _one_line(config: dict[str, Any]) -> str:
    parts: list[str] = []
    for name, value in config.items():
        if isinstance(value, dict):
            parts.extend(f"{name}.{key}={item}" for key, item in value.items() if item is not None)
        elif value is not None:
            parts.append(f"{name}={value}")
    return " ".join(parts)
