"""The step: find what depends on what, choose what goes, fit what is left, leave records."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from mobilesdk.core.form import Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import CompressionRecord
from mobilesdk.core.step import StepContext
from mobilesdk.core.structure import Cost, RemovedIndices, StructureRecord
from mobilesdk.errors import CompressionIncomplete, InvalidDataset, UnknownName
from mobilesdk.graph.cost import count_macs
from mobilesdk.graph.fidelity import check_fidelity
from mobilesdk.graph.program import load_program, save_program, tensors_by_name
from mobilesdk.graph.pruning.choice import Choice, choose, wanted_ratios
from mobilesdk.graph.pruning.dependencies import trace_dependencies
from mobilesdk.graph.pruning.dimensions import find_dimensions, removed_indices
from mobilesdk.graph.pruning.importance import importances
from mobilesdk.graph.pruning.reconstruction import reconstruct
from mobilesdk.graph.pruning.request import PruningRequest
from mobilesdk.graph.pruning.surgery import masked_weights, without
from mobilesdk.graph.pruning.tracing import Trace
from mobilesdk.graph.records import read_record, read_summary
from mobilesdk.graph.summary import FLOAT32_BYTES, summarize

SAMPLES = 64
"""Calibration samples that layers are fitted to."""

Removed = Mapping[str, Mapping[int, Sequence[int]]]


def prune(model: Model, method: str, request: PruningRequest, context: StepContext) -> Model:
    """Take channels out of an exported program.

    Writes ``program.pt2``, ``summary.json`` with the new shapes, ``structure.json``
    (`StructureRecord`) and ``compression.json`` into ``context.output``.

    Args:
        model: An exported program with float32 weights.
        method: Its name, for the record.
        request: What is asked.
        context: Where to write; the calibration set if one is needed.

    Raises:
        ArtifactInvalid: The pruned program does not compute what its weights amount to.
        CompressionIncomplete: What is asked cannot be reached, or a weight is not finite.
        InvalidDataset: Samples are needed, and there are none.
        UnknownName: A pattern matches no weight.
    """
    torch.set_num_threads(context.threads)
    program, summary = load_program(model.path), read_summary(model)
    _check_weights(program)
    samples = _samples(summary, context) if request.needs_samples else []
    context.report("tracing channels", 0.0)
    trace = trace_dependencies(program)
    choice = _choose(request, program, trace, samples, summary, context)
    removed = removed_indices(trace, choice.removed)
    values = masked_weights(program, trace, removed)
    notes: list[str] = []
    if request.reconstructs:
        fitted, notes = reconstruct(program, values, removed, samples, context.report)
        values |= fitted
    pruned = without(program, trace, choice.removed, values)
    _assign(program, values)
    inputs, _ = pruned.example_inputs
    check_fidelity(program, pruned, inputs, summary.contract, context.seed)
    after = summarize(pruned, summary.contract).model_copy(update={"family": summary.family})
    record = StructureRecord(
        before=_cost(program),
        after=_cost(pruned),
        dimensions=choice.dimensions,
        kept=choice.kept,
        removed=_lines(removed),
        notes=tuple(notes),
    )
    save_program(pruned, context.output / "program.pt2")
    return Model(
        form=model.form,
        path=context.output / "program.pt2",
        traits=model.traits | {Trait.PRUNED},
        sidecars=_write_sidecars(model, method, after, record, context.output),
    )


def _choose(
    request: PruningRequest,
    program: torch.export.ExportedProgram,
    trace: Trace,
    samples: Sequence[Sequence[Tensor]],
    summary: ModelSummary,
    context: StepContext,
) -> Choice:
    names = tuple(dict.fromkeys(each.constant for each in trace.makes))
    for pattern in request.unmatched(names):
        raise UnknownName("layer of the model", pattern, names)
    dimensions, kept = find_dimensions(trace)
    wanted, staying = wanted_ratios(request, dimensions, kept)
    values = importances(
        request.importance,
        program,
        trace,
        [dimension for dimension, _ in wanted],
        samples,
        summary.contract,
        context.seed,
        context.report,
    )
    return choose(request, wanted, values, staying)


def _check_weights(program: torch.export.ExportedProgram) -> None:
    for name, tensor in program.state_dict.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CompressionIncomplete(
                f"{name} holds values that are not finite.",
                hint="repair the checkpoint: no channel can be weighed against them.",
            )


def _samples(summary: ModelSummary, context: StepContext) -> list[tuple[Tensor, ...]]:
    if not context.calibration:
        raise InvalidDataset(
            "Pruning needs calibration samples, and there are none.",
            hint='give a calibration set, or set reconstruction = false and importance = "l2".',
        )
    names = [spec.name for spec in summary.contract.inputs]
    return [
        tuple(torch.tensor(sample[name]) for name in names)
        for sample in islice(context.calibration, SAMPLES)
    ]


def _assign(program: torch.export.ExportedProgram, values: Mapping[str, Tensor]) -> None:
    tensors = tensors_by_name(program)
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(value)


def _cost(program: torch.export.ExportedProgram) -> Cost:
    count = sum(tensor.numel() for tensor in tensors_by_name(program).values())
    return Cost(macs=count_macs(program), parameter_count=count, size_bytes=FLOAT32_BYTES * count)


def _lines(removed: Removed) -> tuple[RemovedIndices, ...]:
    return tuple(
        RemovedIndices(weight=name, axis=axis, indices=tuple(indices))
        for name, axes in removed.items()
        for axis, indices in axes.items()
    )


def _write_sidecars(
    model: Model, method: str, summary: ModelSummary, structure: StructureRecord, output: Path
) -> dict[str, Path]:
    before = read_record(model)
    record = before.model_copy(update={"methods": (*before.methods, method)})
    written: dict[str, ModelSummary | StructureRecord | CompressionRecord] = {
        "summary": summary,
        "structure": structure,
        "compression": record,
    }
    sidecars = {
        name: Path(shutil.copyfile(path, output / path.name))
        for name, path in model.sidecars.items()
        if name not in written
    }
    for name, content in written.items():
        sidecars[name] = output / f"{name}.json"
        sidecars[name].write_text(content.model_dump_json(indent=1) + "\n")
    return sidecars
