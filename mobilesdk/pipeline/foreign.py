"""Judge an artifact that somebody else built, by the float model that it should be."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.gate import Gate
from mobilesdk.core.parity import OutputParity
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.check import Check
from mobilesdk.pipeline.doctor import require
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.keys import content_digest, step_key
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.planning import add_preparation
from mobilesdk.pipeline.preflight import missing_sets
from mobilesdk.pipeline.reading import Reader, ReadModel
from mobilesdk.pipeline.request import ModelRequest
from mobilesdk.pipeline.schedule import Schedule
from mobilesdk.pipeline.task_graph import Graph
from mobilesdk.pipeline.tasks import Listener, Task
from mobilesdk.pipeline.verification import VerifyReport, runtime_for
from mobilesdk.plugins import Kind, runtime
from mobilesdk.verify.record import RECORD_NAME, VariantRecord, VerifyConfig
from mobilesdk.verify.soundness import advice, contract_faults, contract_hint, faults


def verify_foreign(
    artifact: Path,
    request: ModelRequest,
    cache: Cache,
    workers: Workers,
    listener: Listener,
    plugin_files: tuple[Path, ...],
) -> VerifyReport:
    """Read an artifact and measure its parity with the float model.

    An artifact with a fault is not run: what it gives tells nothing. Neither is one that declares
    other inputs or outputs than the model.

    Raises:
        FileRejected: The artifact is damaged or hostile.
        InvalidDataset: The evaluation set does not exist.
    """
    name = runtime_for(artifact)
    plugin = runtime(name)
    info = plugin.inspect(artifact)
    missing = missing_sets(request)
    if missing:
        raise missing[0]
    found = faults(info)
    if found:
        return VerifyReport(path=artifact, checks=_faulty(artifact, found, advice(info)))
    require(plugin.tools)
    model = Reader(cache, workers, listener, plugin_files).read(request)
    contract = model.summary.contract
    differences = contract_faults(info, contract)
    if differences:
        hint = contract_hint(info, contract)
        return VerifyReport(path=artifact, checks=_other_contract(artifact, differences, hint))
    graph, key = _graph(artifact, name, model)
    failures = Schedule(graph.tasks, cache, workers, listener, plugin_files).run([key])
    if isinstance(failures.get(key), ArtifactInvalid):
        error = failures[key]
        return VerifyReport(path=artifact, checks=_not_run(artifact, error.message, error.hint))
    if failures:
        raise failures[key]
    record = VariantRecord.model_validate_json((cache.folder(key) / RECORD_NAME).read_bytes())
    return VerifyReport(path=artifact, checks=foreign_checks(artifact, info, record))


def _graph(artifact: Path, name: str, model: ReadModel) -> tuple[Graph, str]:
    """Give the tasks that measure an artifact, and the key of the last one."""
    plugin, request = runtime(name), model.request
    graph = Graph()
    # The floors of a foreign artifact are far from what it should reach: any number of samples
    # will do.
    add_preparation(graph, model, allow_small=True)
    inputs = {"read": model.key, "reference": graph.references[request.name]}
    inputs |= {role: key for role, key in graph.sets[request.name].items() if role == "evaluation"}
    config = VerifyConfig(foreign=artifact.resolve()).model_dump(mode="json")
    key = step_key(
        TaskKind.VERIFY,
        plugin_kind=Kind.RUNTIMES,
        plugin=name,
        config={"content": content_digest(artifact)},
        inputs=inputs,
        tools=plugin.tools,
    )
    graph.add(Task(key, TaskKind.VERIFY, name, config, inputs, "verify", request.name, ()))
    return graph, key


def _faulty(artifact: Path, found: tuple[str, ...], hint: str) -> tuple[Check, ...]:
    return _failed(artifact, "structure", "; ".join(found), hint, "its structure is at fault")


def _other_contract(artifact: Path, found: tuple[str, ...], hint: str) -> tuple[Check, ...]:
    passed = Check(subject=artifact.name, name="structure", verdict="passed")
    why = "it takes or gives other things than the model"
    return passed, *_failed(artifact, "contract", "; ".join(found), hint, why)


def _not_run(artifact: Path, message: str, hint: str) -> tuple[Check, ...]:
    passed = Check(subject=artifact.name, name="structure", verdict="passed")
    return passed, *_failed(artifact, "run", message, hint, "its outputs cannot be compared")


def _failed(artifact: Path, name: str, what: str, hint: str, consequence: str) -> tuple[Check, ...]:
    """Give a check that failed, and the parity that was not measured for it."""
    detail = f"{what} Fix: {hint}" if hint else what
    subject = artifact.name
    return (
        Check(subject=subject, name=name, verdict="failed", detail=detail),
        Check(
            subject=subject,
            name="parity",
            verdict="not_evaluated",
            detail=f"not measured, because {consequence}",
        ),
    )


def foreign_checks(artifact: Path, info: ArtifactInfo, record: VariantRecord) -> tuple[Check, ...]:
    """Give the checks of an artifact without a plan, so that a suspicion is a fault.

    Without a budget, the gates are the floors of such artifacts, and those that no budget asks for.
    """
    subject = artifact.name
    structure = Check(
        subject=subject,
        name="structure",
        verdict="failed" if info.suspicions else "passed",
        detail="; ".join((*info.suspicions, *info.remarks)),
    )
    gates = tuple(
        Check(subject=subject, name=gate.title, verdict=gate.verdict, detail=_judged(gate))
        for gate in record.gates
    )
    if record.parity is None:
        missing = Check(
            subject=subject,
            name="parity",
            verdict="unverifiable" if info.unverifiable else "not_evaluated",
            detail=record.reason,
        )
        return structure, *gates, missing
    measured = tuple(
        Check(subject=subject, name=f"parity of {o.name}", verdict="measured", detail=_figures(o))
        for o in record.parity.outputs
    )
    return structure, *gates, *measured


def _judged(gate: Gate) -> str:
    """Write what was measured against what, and why that is the limit or what was found."""
    if gate.value is None:
        return gate.reason
    return f"{gate.value:.4g} against {gate.limit:g} {gate.unit}. {gate.reason}"


def _figures(parity: OutputParity) -> str:
    """Write the figures that there are, e.g. ``sqnr_db 44.6, cosine 0.9998``."""
    figures = parity.model_dump(exclude_none=True, exclude={"name", "kind"})
    return ", ".join(f"{name} {figure['value']:.4g}" for name, figure in figures.items())
