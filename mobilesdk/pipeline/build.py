"""A build from its request to its bundle."""

from __future__ import annotations

import os
from pathlib import Path

from mobilesdk.bundle.manifest import MANIFEST_NAME, Manifest
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.plan import Plan, Unreachable
from mobilesdk.errors import (
    CheckFailed,
    MobileSDKError,
    OutputExists,
    PlanRefused,
    ToolchainMissing,
    WriteFailed,
)
from mobilesdk.pipeline.assemble import Assembler
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.planning import Planner
from mobilesdk.pipeline.reading import Reader, ReadModel
from mobilesdk.pipeline.request import BuildRequest
from mobilesdk.pipeline.schedule import Listener, Schedule
from mobilesdk.pipeline.task_graph import Graph


class VariantFailure(Frozen):
    """What a person has to know about a variant that could not be built."""

    model: str
    target: str
    step: str
    code: str
    message: str
    hint: str
    exit_code: int


class BuildResult(Frozen):
    """What a build did.

    Attributes:
        output: The bundle.
        unreachable: Targets that were not asked for by name and are out of reach.
    """

    output: Path
    manifest: Manifest
    failures: tuple[VariantFailure, ...]
    unreachable: tuple[Unreachable, ...]

    @property
    def exit_code(self) -> int:
        """The highest of the failed variants; without any, 1 if a gate failed, else 0."""
        if self.failures:
            return max(failure.exit_code for failure in self.failures)
        gates = [g for m in self.manifest.models for v in m.variants for g in v.gates]
        failed = any(gate.verdict == "failed" for gate in gates)
        return CheckFailed.exit_code if failed else 0


def make_plan(
    request: BuildRequest, cache: Cache, workers: Workers, listener: Listener
) -> tuple[Plan, Graph, tuple[ReadModel, ...]]:
    """Read the models and plan the build."""
    reader = Reader(cache, workers, listener, request.plugins)
    models = tuple(reader.read(model) for model in request.models)
    plan, graph = Planner(request, cache).plan(models)
    return plan, graph, models


def run_build(
    request: BuildRequest,
    output: Path,
    *,
    overwrite: bool,
    cache: Cache,
    workers: Workers,
    listener: Listener,
) -> BuildResult:
    """Plan, run, and write the bundle.

    Raises:
        PlanRefused: The plan has problems.
        ToolchainMissing: A toolchain is not installed.
        OutputExists: The output is there, and ``overwrite`` is false or it is no bundle.
        WriteFailed: The output cannot be written.
        UsageError: An input of the only model, or of each, turned out to be unusable, a
            calibration set for example.
        StepFailed: No variant could be built.
    """
    check_output(output, overwrite=overwrite)
    plan, graph, models = make_plan(request, cache, workers, listener)
    refuse_problems(plan)
    wanted = [key for v in graph.variants for key in (v.export, v.verify)]
    schedule = Schedule(graph.tasks, cache, workers, listener, request.plugins)
    failures = schedule.run([*wanted, *graph.references.values()])
    assembler = Assembler(graph, failures, cache)
    failed = _failed_variants(assembler, graph)
    manifest = assembler.write(models, output, overwrite=overwrite)
    return BuildResult(
        output=output, manifest=manifest, failures=failed, unreachable=plan.unreachable
    )


def check_output(output: Path, *, overwrite: bool) -> None:
    """Look, before hours of work, whether the bundle can be written in the end.

    Raises:
        OutputExists: The output is there, and ``overwrite`` is false or it is no bundle.
        WriteFailed: There is no permission to write there.
    """
    if output.exists() and not overwrite:
        raise OutputExists(
            f"{output} exists.", hint="give --overwrite to replace it, or name another folder."
        )
    is_empty = output.is_dir() and not any(output.iterdir())
    if output.exists() and not is_empty and not (output / MANIFEST_NAME).is_file():
        raise OutputExists(
            f"{output} is no bundle, so it is not replaced.", hint="name another folder."
        )
    folder = next(place for place in output.absolute().parents if place.exists())
    if not os.access(folder, os.W_OK) or not folder.is_dir():
        raise WriteFailed(
            f"{output} cannot be written: {folder} is read-only.", hint="name another folder."
        )


def refuse_problems(plan: Plan) -> None:
    """Raise what speaks against a plan.

    Raises:
        PlanRefused: It has problems.
        ToolchainMissing: It has no other problem than missing toolchains.
    """
    if plan.problems:
        raise PlanRefused(
            [*plan.problems, *plan.missing_tools], hint="mobilesdk plan shows the whole matrix."
        )
    if plan.missing_tools:
        raise ToolchainMissing(
            " ".join(plan.missing_tools), hint="; ".join(sorted(set(plan.missing_tools.values())))
        )


def _failed_variants(assembler: Assembler, graph: Graph) -> tuple[VariantFailure, ...]:
    """List the failed variants.

    Raises:
        MobileSDKError: No variant is left; of the class with the highest exit code.
    """
    found = []
    errors: list[MobileSDKError] = []
    for variant in graph.variants:
        failure = assembler.failure_of(variant)
        if failure is None:
            continue
        step, error = failure
        errors.append(error)
        found.append(
            VariantFailure(
                model=variant.model.request.name,
                target=variant.target.id,
                step=step,
                code=error.code,
                message=error.message,
                hint=error.hint,
                exit_code=error.exit_code,
            )
        )
    if len(found) < len(graph.variants):
        return tuple(found)
    if len({id(error) for error in errors}) == 1:
        raise errors[0]
    worst = max(errors, key=lambda error: error.exit_code)
    lines = [f"{f.model} for {f.target}, {f.step}: {f.message} ({f.hint})" for f in found]
    message = "\n  - ".join(["No variant could be built:", *lines])
    raise type(worst).restore(message, "each line says what to do.")
