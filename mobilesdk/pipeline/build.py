"""A build from its request to its bundle."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.bundle.manifest import Manifest
from mobilesdk.bundle.writing import require_space
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.plan import Plan, Unreachable
from mobilesdk.errors import (
    CheckFailed,
    MobileSDKError,
    PlanRefused,
    Problem,
    ToolchainMissing,
    UsageError,
    VariantFailure,
    WriteFailed,
)
from mobilesdk.pipeline.assemble import Assembler
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.costs import CostRecorder, Costs
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.planning import Planner
from mobilesdk.pipeline.preflight import Preflight, check_output, preflight
from mobilesdk.pipeline.reading import Reader, ReadModel
from mobilesdk.pipeline.request import BuildRequest
from mobilesdk.pipeline.schedule import Schedule
from mobilesdk.pipeline.sets import set_faults
from mobilesdk.pipeline.task_graph import Graph
from mobilesdk.pipeline.tasks import Listener


class BuildResult(Frozen):
    """What a build did.

    Attributes:
        output: The bundle.
        unreachable: Targets that were not asked for by name and are out of reach.
        costs: What the steps took here; never part of the bundle.
    """

    output: Path
    manifest: Manifest
    failures: tuple[VariantFailure, ...]
    unreachable: tuple[Unreachable, ...]
    costs: Costs = Costs()

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
    """Check the request, read the models, check their sets, and plan the build.

    Of a request with a fault, only models are planned that need not be read again.
    """
    return _plan(request, preflight(request), cache, workers, listener)


def _plan(
    request: BuildRequest,
    before: Preflight,
    cache: Cache,
    workers: Workers,
    listener: Listener,
    output: Path | None = None,
) -> tuple[Plan, Graph, tuple[ReadModel, ...]]:
    reader = Reader(cache, workers, listener, request.plugins)
    models, unread = _read_models(request, before, reader)
    if unread:
        return _unread_plan(before, unread), Graph(), ()
    planner = Planner(request, models, cache)
    schedule = Schedule(planner.graph.tasks, cache, workers, listener, request.plugins)
    for fault in set_faults(planner.graph, schedule, cache):
        before.note(fault)
    plan = planner.plan(before)
    try:
        require_space(_written_bytes(planner.graph, cache, output))
    except WriteFailed as error:
        before.note(error)
        plan = plan.model_copy(update={"problems": (*plan.problems, *error.problems)})
    return plan, planner.graph, tuple(models)


def _read_models(
    request: BuildRequest, before: Preflight, reader: Reader
) -> tuple[list[ReadModel], list[str]]:
    """Read all models, also if one of several cannot be read; give them, and who was not read.

    Raises:
        UsageError: There is one model, and it cannot be read.
    """
    models: list[ReadModel] = []
    unread: list[str] = []
    may_read = before.passed
    for asked in request.models:
        try:
            model = reader.read(asked) if may_read else reader.known(asked)
        except UsageError as error:
            if len(request.models) == 1:
                raise
            before.note(error)
            model = None
        if model is None:
            unread.append(asked.name)
        else:
            models.append(model)
    return models, unread


def _written_bytes(graph: Graph, cache: Cache, output: Path | None) -> dict[Path, int]:
    """Give about how much a build will write, by folder."""
    missing = [task for key, task in graph.tasks.items() if not cache.has(key)]
    written = {cache.root: sum(task.size_bytes for task in missing)}
    if output is not None:
        exports = [graph.tasks[variant.export] for variant in graph.variants]
        written[output] = sum(task.size_bytes for task in exports)
    return written


def _unread_plan(before: Preflight, unread: list[str]) -> Plan:
    return Plan(
        variants=(),
        problems=before.problems,
        missing_tools=before.missing_tools,
        unread=tuple(unread),
    )


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
        UsageError: The only problem, a set that cannot be used for example.
        StepFailed: No variant could be built.
    """
    before = preflight(request)
    place: Path | None = output
    try:
        check_output(output, overwrite=overwrite)
    except (UsageError, WriteFailed) as error:
        before.note(error)
        place = None  # what cannot be written there needs no room
    recorder = CostRecorder(listener)
    plan, graph, models = _plan(request, before, cache, workers, recorder.listen, place)
    refuse(plan, before)
    wanted = [key for variant in graph.variants for key in variant.results]
    schedule = Schedule(graph.tasks, cache, workers, recorder.listen, request.plugins)
    failures = schedule.run([*wanted, *graph.references.values()])
    assembler = Assembler(graph, failures, cache)
    failed = _failed_variants(assembler, graph)
    manifest = assembler.write(models, output, overwrite=overwrite)
    return BuildResult(
        output=output,
        manifest=manifest,
        failures=failed,
        unreachable=plan.unreachable,
        costs=recorder.costs(workers),
    )


def refuse(plan: Plan, before: Preflight) -> None:
    """Raise what speaks against a plan.

    Raises:
        MobileSDKError: One thing does, and it was known before the models were read.
        PlanRefused: Several do, or it follows from the models.
        ToolchainMissing: Nothing does but missing toolchains.
    """
    missing = [Problem(ToolchainMissing.code, *each) for each in plan.missing_tools.items()]
    problems = [*plan.problems, *missing]
    if len(before.errors) == 1 and set(before.errors[0].problems) == set(problems):
        raise before.errors[0]
    if plan.problems:
        unread = f"{', '.join(plan.unread)} was not read yet: there may be more. "
        raise PlanRefused(
            problems,
            hint=(unread if plan.unread else "") + "mobilesdk plan shows the whole matrix.",
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
                file=error.place.file,
                line=error.place.line,
            )
        )
    if len(found) < len(graph.variants):
        return tuple(found)
    error = _sum_up(errors, found)
    error.failures = tuple(found)
    raise error


def _sum_up(errors: list[MobileSDKError], failures: list[VariantFailure]) -> MobileSDKError:
    """Give the one error that all variants share, or one that lists theirs."""
    if len({id(error) for error in errors}) == 1:
        return errors[0]
    worst = max(errors, key=lambda error: error.exit_code)
    lines = [f"{f.model} for {f.target}, {f.step}: {f.text} ({f.hint})" for f in failures]
    message = "\n  - ".join(["No variant could be built:", *lines])
    return type(worst).restore(message, "each line says what to do.")
