"""Say what a ``.tflite`` file should hold for every weight, from the float file and the plan."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.scheme import (
    ActivationScheme,
    CompressionRecord,
    WeightRecord,
    WeightScheme,
)
from mobilesdk.flatbuffers.tflite import Subgraph
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.flatbuffers.tflite_weights import StoredWeight, shared_weights
from mobilesdk.lowering.expectation import expected_weight, summed_record
from mobilesdk.lowering.litert.matching import Match, Matches, rounded, rounded_operand
from mobilesdk.lowering.litert.parts import Part
from mobilesdk.lowering.litert.recipe import (
    STATIC_OPERATORS,
    WEIGHT_OPERATORS,
    OpSet,
    float_op_types,
    float_operators,
    nnapi_float_types,
)
from mobilesdk.numerics.fingerprint import fingerprint

_FOLDED = "the converter folded a scale into it"
_FULL_PRECISION = "LiteRT keeps float16 for weights of layers only"
_PART = "the converter took the rows out of it that all runs of this size take"
_OPERAND = "an operand of an integer op is stored like an activation"
_HALF = WeightScheme(bits=16)
_FLOAT16 = ActivationScheme(bits=16)
_FLOAT16_REASON = "float32 in the file; the delegate decides whether it computes in float16"


@dataclass(frozen=True)
class Operands:
    """How constants are stored that an op takes like activations.

    Attributes:
        bits: Of static activations; 0 if activations are floating point.
        op_types: Ops that become integer ops.
        kept: Indices of constants of the float file whose ops stay float nevertheless.
    """

    bits: int
    op_types: frozenset[str]
    kept: frozenset[int] = frozenset()

    def takes(self, constant: StoredWeight) -> bool:
        """Tell whether a constant of the float file is stored as an operand."""
        rounded = constant.op in self.op_types and constant.index not in self.kept
        return self.bits > 0 and rounded


def expectation_of(
    content: bytes,
    parts: Sequence[Part],
    weights: Mapping[str, NDArray[Any]],
    record: CompressionRecord,
    op_set: OpSet,
) -> Expectation:
    """Say what a file should hold for every weight, and which ops may stay float.

    Args:
        content: The written file.
        parts: Signatures of the float file.
        weights: Name → values in the layout of torch.
        record: The plan.
        op_set: Of the target.
    """
    kept_float = _float_types(content, parts, record, op_set)
    static = record.activations.mode == "static"
    float_ops: dict[str, str] = {}
    expected = {}
    for part in parts:
        kept = float_operators(part.subgraph) if static else {}
        float_ops |= {part.subgraph.tensors[index].name: why for index, why in kept.items()}
        operands = _operands(record.activations, kept_float, part.subgraph, kept)
        found = expected_weights(
            record.weights, weights, part.matches, operands, part.program.input_free
        )
        expected[part.program.name] = found
    lines = expected[parts[0].program.name]
    if len(parts) > 1:
        subgraphs = {part.program.name: part.subgraph for part in parts}
        lines = _of_all_signatures(expected, subgraphs)
    return Expectation(
        weights=lines,
        activations=record.activations,
        planned_activations=ActivationScheme() if record.activations == _FLOAT16 else None,
        activations_reason=_FLOAT16_REASON if record.activations == _FLOAT16 else "",
        float_op_types=kept_float,
        float_ops=float_ops,
    )


def _of_all_signatures(
    expected: Mapping[str, Iterable[ExpectedWeight]], subgraphs: Mapping[str, Subgraph]
) -> tuple[ExpectedWeight, ...]:
    """Give what a file should hold for weights that its signatures share.

    A weight that the float file holds once has one line, with the signatures that take it. One that
    differs from size to size has several, which the signatures tell apart.

    Args:
        expected: Signature → what its subgraph should hold.
        subgraphs: Signature → its subgraph of the float file.
    """
    first_names: dict[str, str] = {}
    for shared in shared_weights(list(subgraphs.values())):
        names = [weight.tensor.name for weight in shared.values()]
        first_names.update(dict.fromkeys(names, names[0]))
    lines: dict[tuple[str, str], ExpectedWeight] = {}
    for signature, weights in expected.items():
        for weight in weights:
            stored = first_names.get(weight.artifact_name, weight.artifact_name)
            name = stored if weight.name == weight.artifact_name else weight.name
            own = weight.model_copy(update={"name": name, "artifact_name": stored})
            line = lines.get((name, stored), own)
            lines[name, stored] = line.model_copy(
                update={"functions": (*line.functions, signature)}
            )
    return _told_apart(list(lines.values()))


def _told_apart(lines: list[ExpectedWeight]) -> tuple[ExpectedWeight, ...]:
    names = [line.name for line in lines]
    return tuple(
        line
        if names.count(line.name) == 1
        else line.model_copy(update={"name": f"{line.name} ({', '.join(line.functions)})"})
        for line in lines
    )


def expected_weights(
    records: Sequence[WeightRecord],
    weights: Mapping[str, NDArray[Any]],
    matches: Matches,
    operands: Operands,
    input_free: Container[str] = (),
) -> tuple[ExpectedWeight, ...]:
    """Give what the file should hold: all weights of the model, then constants stored as integers.

    Args:
        records: The plan, one for each weight of the model.
        weights: Name → values in the layout of torch.
        matches: Where they are in the float file.
        operands: How constants that are no weights are stored.
        input_free: Names of weights that the converter computes with; what it does not hold of
            them is part of another constant.
    """
    plan = {record.name: record for record in records}
    summed = {name for pair in matches.sums for name in pair}
    return (
        *(
            _merged(record, weights[record.name])
            if record.name in input_free and record.name not in matches.weights
            else _weight(record, weights[record.name], matches.weights.get(record.name), operands)
            for record in records
            if record.name not in summed
        ),
        *(
            _sum([plan[name] for name in pair], constant, operands)
            for pair, constant in matches.sums.items()
        ),
        *_others(matches.others, operands),
    )


def _merged(record: WeightRecord, values: NDArray[Any]) -> ExpectedWeight:
    """Expect a weight that meets no input to be part of another constant."""
    return expected_weight(record, values, merged=True)


def _weight(
    record: WeightRecord, values: NDArray[Any], match: Match | None, operands: Operands
) -> ExpectedWeight:
    if match is None:
        return expected_weight(record, values)
    constant = match.constants[0]
    name = constant.tensor.name
    taken_out = _PART if match.is_part else ""
    if operands.takes(constant):
        scheme, stored = rounded_operand(constant.values(), operands.bits)
        reason = _join(record.reason, taken_out, _OPERAND)
        return expected_weight(record, stored, artifact_name=name, planned=scheme, reason=reason)
    if match.is_part:
        reason, rows = _join(record.reason, taken_out), constant.values()
        return expected_weight(
            record, rows, artifact_name=name, planned=WeightScheme(), reason=reason
        )
    if record.planned == _HALF and constant.op not in WEIGHT_OPERATORS:
        reason = _join(record.reason, _FULL_PRECISION)
        return expected_weight(
            record, values, artifact_name=name, planned=WeightScheme(), reason=reason
        )
    if match.folded is None:
        return expected_weight(record, values, artifact_name=name)
    stored = rounded(match.folded, record.planned, constant.channel_axis)
    reason = _join(record.reason, _FOLDED)
    return expected_weight(record, stored, artifact_name=name, reason=reason)


def _sum(
    records: Sequence[WeightRecord], constant: StoredWeight, operands: Operands
) -> ExpectedWeight:
    merged = summed_record(records, WeightScheme())
    return _weight(merged, constant.values(), Match((constant,)), operands)


def _others(constants: Sequence[StoredWeight], operands: Operands) -> Iterator[ExpectedWeight]:
    for constant in constants:
        if operands.takes(constant):
            scheme, stored = rounded_operand(constant.values(), operands.bits)
            yield ExpectedWeight(
                name=constant.tensor.name,
                artifact_name=constant.tensor.name,
                shape=constant.tensor.shape,
                requested=WeightScheme(),
                planned=scheme,
                reason=_OPERAND,
                fingerprint=fingerprint(stored),
            )


def _join(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _float_types(
    content: bytes, parts: Sequence[Part], record: CompressionRecord, op_set: OpSet
) -> dict[str, str]:
    """Give the op types that may stay float, each with its reason."""
    if record.activations.mode != "static":
        return {}
    of_float_weights = {
        constant.op
        for part in parts
        for weight in record.weights
        if weight.planned.encoding == "float" and weight.name in part.matches.weights
        for constant in part.matches.weights[weight.name].constants
        if constant.op in WEIGHT_OPERATORS
    }
    found = float_op_types(inspect_tflite(content).ops, of_float_weights)
    if op_set == "nnapi":
        for part in parts:
            found |= nnapi_float_types(part.subgraph)
    return found


def _operands(
    activations: ActivationScheme,
    kept_float: Iterable[str],
    subgraph: Subgraph,
    float_ops: Container[int],
) -> Operands:
    bits = activations.bits if activations.mode == "static" else 0
    kept = frozenset(
        index
        for operator in subgraph.operators
        if operator.outputs[0] in float_ops
        for index in operator.inputs
    )
    return Operands(bits, STATIC_OPERATORS - WEIGHT_OPERATORS - frozenset(kept_float), kept)
