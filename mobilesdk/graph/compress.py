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
from mobilesdk.graph.compression import Compression, Rounding
from mobilesdk.graph.encoding import encode, with_zeros
from mobilesdk.graph.importance import input_energies
from mobilesdk.graph.layer_rounding import LayerRounding
from mobilesdk.graph.lifting import single_runs
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
    samples = _calibration_runs(program, model, context) if compression.corrects_biases else []
    weights = _Weights(program, records, before, samples, context)
    activations = compression.activations or before.activations
    changed = weights.rounded
    notes: list[str] = []
    if samples:
        better = weights.layer_rounding(compression.rounding)
        settled = (better.visit,) if better else ()
        biases, notes = correct_biases(
            program, changed, samples, activations, context.report, *settled
        )
        notes += [f"weights are rounded by {compression.rounding}"] if better else []
        notes += better.notes() if better else ()
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


def _calibration_runs(
    program: torch.export.ExportedProgram, model: Model, context: StepContext
) -> list[tuple[Tensor, ...]]:
    """Take the first calibration samples as tensors, in the order of the program's inputs.

    Of a model with states, a sample is a sequence, and one step of each is taken.
    """
    if not context.calibration:
        raise InvalidDataset(
            "Bias correction needs calibration samples, and there are none.",
            hint="give a calibration set, or set bias_correction = false in the profile.",
        )
    contract = read_summary(model).contract
    samples = islice(context.calibration, CORRECTION_SAMPLES)
    if contract.states:
        return list(single_runs(program, contract, samples))
    return [
        tuple(torch.tensor(sample[spec.name]) for spec in contract.inputs) for sample in samples
    ]


class _Weights:
    """The values of every planned weight, by fully qualified name.

    Attributes:
        rounded: As its scheme can hold them.
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        records: Sequence[WeightRecord],
        before: CompressionRecord,
        samples: Sequence[Sequence[Tensor]],
        context: StepContext,
    ) -> None:
        self._program, self._records = program, records
        self._energies: dict[str, Tensor] = {}
        if samples and any(record.planned.encoding == "palette" for record in records):
            self._energies = input_energies(program, samples, context.report)
        earlier, tensors = planned_schemes(before), tensors_by_name(program)
        self._open: dict[str, Tensor] = {}
        self.rounded: dict[str, Tensor] = {}
        for place, record in enumerate(records):
            name = record.name
            context.report(f"rounding {name}", place / len(records))
            scheme_before = earlier.get(name, WeightScheme())
            weight = with_zeros(tensors[name].detach(), record, scheme_before)
            if record.planned != scheme_before:
                self._open[name] = weight
            self.rounded[name] = encode(weight, record, scheme_before, self._energies.get(name))

    def layer_rounding(self, rounding: Rounding) -> LayerRounding | None:
        """Give what rounds weights better while the network runs; None where that is nearest."""
        if rounding == "nearest":
            return None
        return LayerRounding(
            self._program,
            self._records,
            self._open,
            self.rounded,
            self._energies,
            asymmetric=rounding == "gptaq",
        )


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
