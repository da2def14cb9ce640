"""What all compression methods do: plan every weight, round it, correct biases, leave records."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from mobilesdk.core.form import Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import CompressionRecord, WeightRecord, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidDataset
from mobilesdk.graph.bias_correction import correct_biases
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.encoding import encode
from mobilesdk.graph.importance import input_energies
from mobilesdk.graph.planning import merge_records, plan_weights, planned_schemes
from mobilesdk.graph.program import load_program, save_program, tensors_by_name
from mobilesdk.graph.records import read_record, read_summary

CORRECTION_SAMPLES = 32
"""More samples change the means little, and widen min-max ranges by their outliers."""


def compress(
    model: Model,
    method: str,
    compression: Compression,
    adds: frozenset[Trait],
    context: StepContext,
) -> Model:
    """Apply a method to an exported program.

    Writes ``program.pt2`` with weights on their grids and corrected biases, ``compression.json``,
    and the other sidecars, into ``context.output``.

    Args:
        model: An exported program.
        method: Its name, for the record.
        compression: What it is to do.
        adds: Traits of the result besides those of the model.
        context: Where to write; the calibration set if biases are corrected.

    Raises:
        CompressionIncomplete: A weight is not finite, or does not fit into float16.
        InvalidDataset: Biases are to be corrected, and there are no calibration samples.
        StepFailed: The program cannot be run on the samples.
    """
    torch.set_num_threads(context.threads)
    program = load_program(model.path)
    before = read_record(model)
    records = plan_weights(program, compression.requests, before, compression.minimum_elements)
    samples = _calibration_samples(model, context) if compression.corrects_biases else []
    changed = _encode_weights(program, records, before, samples, context)
    activations = compression.activations or before.activations
    notes: list[str] = []
    if samples:
        biases, notes = correct_biases(program, changed, samples, activations, context.report)
        changed |= biases
    _assign(program, changed)
    after = CompressionRecord(
        weights=merge_records(before.weights, records),
        activations=activations,
        methods=(*before.methods, method),
        notes=(*before.notes, *(f"{method}: {note}" for note in notes)),
    )
    save_program(program, context.output / "program.pt2")
    return Model(
        form=model.form,
        path=context.output / "program.pt2",
        traits=model.traits | adds,
        sidecars=_write_sidecars(model, after, context.output),
    )


def _calibration_samples(model: Model, context: StepContext) -> list[tuple[Tensor, ...]]:
    """Take the first calibration samples as tensors, in the order of the program's inputs."""
    if not context.calibration:
        raise InvalidDataset(
            "Bias correction needs calibration samples, and there are none.",
            hint="give a calibration set, or set bias_correction = false in the profile.",
        )
    names = [spec.name for spec in read_summary(model).contract.inputs]
    return [
        tuple(torch.tensor(sample[name]) for name in names)
        for sample in islice(context.calibration, CORRECTION_SAMPLES)
    ]


def _encode_weights(
    program: torch.export.ExportedProgram,
    records: Sequence[WeightRecord],
    before: CompressionRecord,
    samples: Sequence[Sequence[Tensor]],
    context: StepContext,
) -> dict[str, Tensor]:
    """Give the new values of every planned weight, by fully qualified name."""
    energies: dict[str, Tensor] = {}
    if samples and any(record.planned.encoding == "palette" for record in records):
        energies = input_energies(program, samples, context.report)
    earlier = planned_schemes(before)
    tensors = tensors_by_name(program)
    encoded = {}
    for place, record in enumerate(records):
        context.report(f"rounding {record.name}", place / len(records))
        scheme_before = earlier.get(record.name, WeightScheme())
        weight = tensors[record.name].detach()
        encoded[record.name] = encode(weight, record, scheme_before, energies.get(record.name))
    return encoded


def _assign(program: torch.export.ExportedProgram, values: Mapping[str, Tensor]) -> None:
    """Write values into the program in place, so that tied weights change together."""
    tensors = tensors_by_name(program)
    with torch.no_grad():
        for name, value in values.items():
            tensors[name].copy_(value)


def _write_sidecars(model: Model, record: CompressionRecord, output: Path) -> dict[str, Path]:
    """Write the record, and copy the other sidecars, so that all files of a model lie together."""
    sidecars = {
        name: Path(shutil.copyfile(path, output / path.name))
        for name, path in model.sidecars.items()
        if name != "compression"
    }
    sidecars["compression"] = output / "compression.json"
    sidecars["compression"].write_text(record.model_dump_json(indent=1) + "\n")
    return sidecars
