"""What all compression methods do: plan every weight, round it, correct biases, leave records."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from mobilesdk.core.form import Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import (
    ActivationScheme,
    CompressionRecord,
    WeightRecord,
    WeightRole,
    WeightScheme,
)
from mobilesdk.core.step import StepContext
from mobilesdk.errors import CompressionIncomplete, InvalidDataset
from mobilesdk.graph.bias_correction import correct_biases
from mobilesdk.graph.importance import importance, input_energies
from mobilesdk.graph.palette import round_palette
from mobilesdk.graph.program import load_program, save_program
from mobilesdk.graph.roles import weights as list_weights
from mobilesdk.graph.rounding import round_linear
from mobilesdk.graph.schemes import MINIMUM_ELEMENTS, compose, plan_weight
from mobilesdk.graph.sparsity import zero_smallest

CORRECTION_SAMPLES = 32
"""More samples change the means little, and widen min-max ranges by their outliers."""


@dataclass(frozen=True)
class Compression:
    """One method, told to `compress` in its own terms.

    Attributes:
        method: Its name, for the record.
        requests: What is asked for each role; weights of other roles stay as they are.
        activations: Scheme of all activations; as before when ``None``.
        minimum_elements: Smaller weights stay as they are.
        corrects_biases: Whether biases make up for the mean error of their layers.
        adds: Traits of the result.
    """

    method: str
    requests: Mapping[WeightRole, WeightScheme]
    activations: ActivationScheme | None = None
    minimum_elements: int = MINIMUM_ELEMENTS
    corrects_biases: bool = True
    adds: frozenset[Trait] = frozenset()


def compress(model: Model, compression: Compression, context: StepContext) -> Model:
    """Apply a method to an exported program.

    Writes ``program.pt2`` with weights on their grids and corrected biases, ``compression.json``,
    and the other sidecars, into ``context.output``.

    Raises:
        CompressionIncomplete: A weight is not finite, or does not fit into float16.
        InvalidDataset: Biases are to be corrected, and there are no calibration samples.
        StepFailed: The program cannot be run on the samples.
    """
    torch.set_num_threads(context.threads)
    program = load_program(model.path)
    before = read_record(model)
    records = plan(program, before, compression)
    schemes_before = {record.name: record.planned for record in before.weights}
    context.report("rounding weights")
    samples = calibration_samples(model, context) if compression.corrects_biases else []
    energies = _input_energies(program, records, samples, context)
    changed = {
        record.name: _round(
            _tensor(program, record.name),
            record,
            schemes_before.get(record.name, WeightScheme()),
            energies.get(record.name),
        )
        for record in records
    }
    activations = compression.activations or before.activations
    notes: list[str] = []
    if samples:
        biases, notes = correct_biases(program, changed, samples, activations, context.report)
        changed |= biases
    for name, values in changed.items():
        _tensor(program, name).copy_(values)
    after = CompressionRecord(
        weights=_merge(before.weights, records),
        activations=activations,
        methods=(*before.methods, compression.method),
        notes=(*before.notes, *(f"{compression.method}: {note}" for note in notes)),
    )
    return _write(model, program, after, compression, context.output)


def plan(
    program: torch.export.ExportedProgram, before: CompressionRecord, compression: Compression
) -> tuple[WeightRecord, ...]:
    """Decide the scheme of every weight whose role is asked for, in the order of the program."""
    earlier = {record.name: record.planned for record in before.weights}
    records = []
    for weight in list_weights(program):
        if weight.role not in compression.requests:
            continue
        scheme_before = earlier.get(weight.name, WeightScheme())
        requested = compose(compression.requests[weight.role], scheme_before)
        planned, reason = plan_weight(
            requested,
            weight.role,
            weight.shape,
            before=scheme_before,
            minimum_elements=compression.minimum_elements,
        )
        records.append(
            WeightRecord(
                name=weight.name,
                role=weight.role,
                shape=weight.shape,
                requested=requested,
                planned=planned,
                reason=reason,
            )
        )
    return tuple(records)


def read_record(model: Model) -> CompressionRecord:
    """Read what earlier methods did to a model; an empty record if none did anything."""
    path = model.sidecars.get("compression")
    return CompressionRecord.model_validate_json(path.read_text()) if path else CompressionRecord()


def calibration_samples(model: Model, context: StepContext) -> list[tuple[Tensor, ...]]:
    """Take the first calibration samples as tensors, in the order of the program's inputs.

    Raises:
        InvalidDataset: There are none.
    """
    if not context.calibration:
        raise InvalidDataset(
            "Bias correction needs calibration samples, and there are none.",
            hint="give a calibration set, or set bias_correction = false in the profile.",
        )
    summary = ModelSummary.model_validate_json(model.sidecars["summary"].read_text())
    names = [spec.name for spec in summary.contract.inputs]
    return [
        tuple(torch.as_tensor(sample[name]) for name in names)
        for sample in islice(context.calibration, CORRECTION_SAMPLES)
    ]


def _tensor(program: torch.export.ExportedProgram, name: str) -> Tensor:
    tensors = {**program.state_dict, **program.constants}
    return tensors[name].detach()


def _input_energies(
    program: torch.export.ExportedProgram,
    records: Sequence[WeightRecord],
    samples: Sequence[Sequence[Tensor]],
    context: StepContext,
) -> dict[str, Tensor]:
    """Measure what tables are fitted to, where there are samples and a table to fit."""
    if not samples or all(record.planned.encoding != "palette" for record in records):
        return {}
    return input_energies(program, samples, context.report)


def _round(
    weight: Tensor, record: WeightRecord, before: WeightScheme, energy: Tensor | None
) -> Tensor:
    if not bool(weight.isfinite().all()):
        raise CompressionIncomplete(
            f"{record.name} holds values that are not finite.",
            hint="repair the checkpoint: no scheme can store them.",
        )
    if record.planned == before:
        return weight.clone()
    if record.planned.sparsity > before.sparsity:
        weight = zero_smallest(weight, record.planned.sparsity)
    if record.planned.encoding == "linear":
        return round_linear(weight, record.role, record.planned)[0]
    if record.planned.encoding == "palette":
        counts = None if energy is None else importance(energy, record.role, record.shape)
        return round_palette(weight, record.role, record.planned, counts)[0]
    return _round_float(weight, record)


def _round_float(weight: Tensor, record: WeightRecord) -> Tensor:
    if record.planned.bits == 32:
        return weight.clone()
    rounded = weight.half().float()
    if not bool(rounded.isfinite().all()):
        raise CompressionIncomplete(
            f"{record.name} holds {weight.abs().max():.3g}, which is too large for float16.",
            hint="keep its role at float32 in the overrides of the profile.",
        )
    return rounded


def _merge(
    before: tuple[WeightRecord, ...], records: tuple[WeightRecord, ...]
) -> tuple[WeightRecord, ...]:
    """Let new records take the place of older ones on the same weights."""
    merged = {record.name: record for record in (*before, *records)}
    return tuple(merged.values())


def _write(
    model: Model,
    program: torch.export.ExportedProgram,
    record: CompressionRecord,
    compression: Compression,
    output: Path,
) -> Model:
    save_program(program, output / "program.pt2")
    sidecars = {
        name: Path(shutil.copyfile(path, output / path.name))
        for name, path in model.sidecars.items()
        if name != "compression"
    }
    sidecars["compression"] = output / "compression.json"
    sidecars["compression"].write_text(record.model_dump_json(indent=1) + "\n")
    return Model(
        form=model.form,
        path=output / "program.pt2",
        traits=model.traits | compression.adds,
        sidecars=sidecars,
    )
