"""Say what a ``.tflite`` file should hold for every weight, from the float file and the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.ledger import ExpectedWeight
from mobilesdk.core.scheme import WeightRecord, WeightScheme
from mobilesdk.flatbuffers.tflite_weights import StoredWeight
from mobilesdk.lowering.expectation import expected_weight
from mobilesdk.lowering.litert.matching import Match, Matches, rounded, rounded_operand
from mobilesdk.lowering.litert.recipe import WEIGHT_OPERATORS
from mobilesdk.numerics.fingerprint import fingerprint

_FOLDED = "the converter folded a scale into it"
_SUMMED = "the converter added up two weights"
_FULL_PRECISION = "LiteRT keeps float16 for weights of layers only"
_OPERAND = "an operand of an integer op is stored like an activation"
_HALF = WeightScheme(bits=16)


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


def expected_weights(
    records: Sequence[WeightRecord],
    weights: Mapping[str, NDArray[Any]],
    matches: Matches,
    operands: Operands,
) -> tuple[ExpectedWeight, ...]:
    """Give what the file should hold: all weights of the model, then constants stored as integers.

    Args:
        records: The plan, one for each weight of the model.
        weights: Name → values in the layout of torch.
        matches: Where they are in the float file.
        operands: How constants that are no weights are stored.
    """
    plan = {record.name: record for record in records}
    summed = {name for pair in matches.sums for name in pair}
    return (
        *(
            _weight(record, weights[record.name], matches.weights.get(record.name), operands)
            for record in records
            if record.name not in summed
        ),
        *(
            _sum([plan[name] for name in pair], constant, operands)
            for pair, constant in matches.sums.items()
        ),
        *_others(matches.others, operands),
    )


def _weight(
    record: WeightRecord, values: NDArray[Any], match: Match | None, operands: Operands
) -> ExpectedWeight:
    if match is None:
        return expected_weight(record, values)
    constant = match.constants[0]
    name = constant.tensor.name
    if operands.takes(constant):
        scheme, stored = rounded_operand(constant.values(), operands.bits)
        reason = _join(record.reason, _OPERAND)
        return expected_weight(record, stored, artifact_name=name, planned=scheme, reason=reason)
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
    merged = WeightRecord(
        name=" + ".join(record.name for record in records),
        role=records[0].role,
        shape=constant.tensor.shape,
        requested=records[0].requested,
        planned=WeightScheme(),
        reason=_SUMMED,
    )
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
