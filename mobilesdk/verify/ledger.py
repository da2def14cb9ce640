"""Build the ledger of a written file: what was asked for, planned, and found in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Literal

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, WeightInfo
from mobilesdk.core.ledger import Expectation, ExpectedWeight, Ledger, LedgerEntry
from mobilesdk.core.scheme import ActivationScheme, WeightScheme, channels
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.targets import PartialAllowance
from mobilesdk.verify.matching import Match, match_weights

Status = Literal["as_requested", "as_planned", "different"]

_FLOAT32_BYTES = 4
_NAMED = 10
_MERGED = "part of another constant"
_TOLERANCES = {16: 2e-3, 32: 1e-4}
"""Bits of scales and tables → largest relative distance of values that count as equal."""
_SPARSITY_SLACK = 0.01  # ties at the threshold, and zeros that rounding adds
_FLOAT_DTYPES = frozenset({"float32", "float16"})
_ACTIVATION_DTYPES = {8: frozenset({"int8", "uint8"}), 16: frozenset({"int16"})}
_INDEX_DTYPES = frozenset({"int32", "int64", "bool"})  # shapes, ids, masks
_IN_DYNAMIC = "float between ops; a runtime rounds the input of each op with an integer weight"


def build_ledger(
    expectation: Expectation, info: ArtifactInfo, float_shapes: Mapping[str, tuple[int, ...]] = {}
) -> Ledger:
    """Compare what an exporter says with what the file holds.

    ``different`` is: a weight that the file does not hold, holds in another scheme, or whose values
    are others or, for the weight of a layer, stand in another order; a weight that not all of its
    functions take; a float copy of a weight that is stored compressed; a compressed constant that
    is no weight (unless activations are static integers, where constant operands have to be); an op
    that computes in another type than planned, without a stated reason.

    Args:
        expectation: Written by the exporter.
        info: Read from the file.
        float_shapes: Of the float model's weights by name, where channels may have gone.

    Returns:
        Lines for all weights, then for constants that are none, then for all ops.
    """
    tolerance = _TOLERANCES[expectation.scale_bits]
    sought = [item for item in expectation.weights if not item.merged]
    matches, unclaimed = match_weights(sought, info.weights, tolerance)
    mode = expectation.activations.mode
    entries = [
        _since_float(
            _merged_entry(item)
            if item.merged
            else _weight_entry(item, matches[item.name], tolerance, mode),
            item.shape,
            float_shapes.get(item.name, item.shape),
        )
        for item in expectation.weights
    ]
    entries += _constant_entries(expectation, unclaimed, tolerance)
    entries += [_op_entry(op, expectation) for op in info.ops]
    return Ledger(entries=tuple(entries))


def enforce(ledger: Ledger, allow_partial: PartialAllowance | None) -> None:
    """Pass a ledger without differences, or with no more than the target allows.

    Raises:
        CompressionIncomplete: Names the ten largest differences.
    """
    different = ledger.different
    if not different:
        return
    fraction = max(_weight_fraction(ledger), _op_fraction(ledger))
    if allow_partial is not None and fraction <= allow_partial.max_fraction:
        return
    worst = sorted(different, key=lambda entry: (-entry.size_before_bytes, entry.kind, entry.name))
    lines = [
        f"{entry.kind} {entry.name}: planned {entry.planned}, found {entry.applied}; {entry.reason}"
        for entry in worst[:_NAMED]
    ]
    more = len(different) - len(lines)
    listed = "\n  - ".join(lines) + (f"\n  and {more} more" if more else "")
    raise CompressionIncomplete(
        f"{len(different)} of {len(ledger.entries)} entries of the ledger differ from the plan "
        f"({100 * fraction:.1f} %):\n  - {listed}",
        hint="choose a scheme that the format can store for these, or accept the difference in "
        'the target: allow_partial = { max_fraction = …, reason = "…" }.',
    )


def _weight_entry(item: ExpectedWeight, match: Match, tolerance: float, mode: str) -> LedgerEntry:
    fault = _weight_fault(item, match, tolerance) or _decoding_fault(item, match, mode)
    reasons = [item.reason, f"stored once with {match.shared_with}" if match.shared_with else ""]
    kept: Status = "as_requested" if item.requested == item.planned else "as_planned"
    return LedgerEntry(
        kind="weight",
        name=item.name,
        requested=str(item.requested),
        planned=str(item.planned),
        applied=str(match.weight.scheme) if match.weight else "missing",
        size_before_bytes=_FLOAT32_BYTES * item.fingerprint.elements,
        size_after_bytes=match.weight.size_bytes if match.weight and not match.shared_with else 0,
        status="different" if fault else kept,
        reason="; ".join(reason for reason in [*reasons, fault] if reason),
    )


def _since_float(
    entry: LedgerEntry, shape: tuple[int, ...], before: tuple[int, ...]
) -> LedgerEntry:
    """Say of a weight that it was larger in the float model, if it was."""
    if shape == before:
        return entry
    pruned = f"pruned from {list(before)} to {list(shape)}"
    return entry.model_copy(
        update={
            "size_before_bytes": _FLOAT32_BYTES * prod(before),
            "reason": "; ".join(filter(None, (pruned, entry.reason))),
        }
    )


def _merged_entry(item: ExpectedWeight) -> LedgerEntry:
    """Give the line of a constant that no file can be searched for; runs of the file cover it."""
    return LedgerEntry(
        kind="weight",
        name=item.name,
        requested=str(item.requested),
        planned=_MERGED,
        applied=_MERGED,
        size_before_bytes=_FLOAT32_BYTES * item.fingerprint.elements,
        status="as_planned",
        reason="; ".join(filter(None, (item.reason, "the converter has merged it with others"))),
    )


def _weight_fault(item: ExpectedWeight, match: Match, tolerance: float) -> str:
    """Say how the file departs from the plan for a weight; empty if it does not."""
    if match.weight is None:
        return "the file holds no such weight"
    if apart := [name for name in item.functions if name not in match.weight.functions]:
        return f"{', '.join(apart)} of the file takes another one"
    if not _same_scheme(item, match.weight.scheme):
        return "the file stores it otherwise"
    if match.distance > _tolerance(item.planned, tolerance):
        return f"its values are others (relative distance {match.distance:.2g})"
    if item.role != "other" and match.order_distance > _tolerance(item.planned, tolerance):
        return f"its values stand in another order (relative distance {match.order_distance:.2g})"
    return ""


def _decoding_fault(item: ExpectedWeight, match: Match, mode: str) -> str:
    """Say that a weight meets floats under dynamic activations; an embedding meets none."""
    if match.weight is None or mode != "dynamic" or item.role == "embedding":
        return ""
    if match.weight.scheme.encoding == "linear" and match.weight.decoded:
        return "its op takes it as floats, so that nothing is rounded at run time"
    return ""


def _tolerance(planned: WeightScheme, of_format: float) -> float:
    return 1e-3 if planned.encoding == "float" and planned.bits == 16 else of_format


def _same_scheme(item: ExpectedWeight, applied: WeightScheme) -> bool:
    """Compare two schemes; one that spans the whole axis is the coarser one.

    A grid adds zeros to those of a sparse weight, so there may be more; a dense one stays dense.
    """
    planned = item.planned
    if applied.sparsity < planned.sparsity - _SPARSITY_SLACK:
        return False
    if not planned.sparsity and applied.sparsity > _SPARSITY_SLACK:
        return False
    if not _has_pattern(planned, applied):
        return False
    dense = {"sparsity": 0.0, "kept": None, "sparse_block_size": None}
    first = _coarsest(planned, item).model_copy(update=dense)
    return first == _coarsest(applied, item).model_copy(update=dense)


def _has_pattern(planned: WeightScheme, applied: WeightScheme) -> bool:
    """Tell whether the zeros in a file have the pattern that is planned, or a stricter one."""
    if planned.sparse_block_size is not None:
        return (applied.sparse_block_size or 0) % planned.sparse_block_size == 0 and bool(
            applied.sparse_block_size
        )
    if planned.kept is None:
        return True
    if applied.kept is None:
        return False
    (kept, of), (found, found_of) = planned.kept, applied.kept
    return of % found_of == 0 and found * (of // found_of) <= kept


def _coarsest(scheme: WeightScheme, item: ExpectedWeight) -> WeightScheme:
    if scheme.encoding == "float":
        return scheme
    out_channels, in_channels = channels(item.role, item.shape)
    granularity = scheme.granularity
    if scheme.block_size is not None and len(item.shape) > 1 and scheme.block_size >= in_channels:
        granularity = "per_channel"
    if granularity == "per_channel" and out_channels == 1:
        granularity = "per_tensor"
    if scheme.group_size is not None and scheme.group_size >= out_channels:
        granularity = "per_tensor"
    if granularity == scheme.granularity:
        return scheme
    return scheme.model_copy(
        update={"granularity": granularity, "block_size": None, "group_size": None}
    )


def _constant_entries(
    expectation: Expectation, unclaimed: Sequence[WeightInfo], tolerance: float
) -> Iterator[LedgerEntry]:
    """Give a line for every constant that no weight accounts for, and that is of its matter.

    Those are compressed constants, and floats of the values of a weight that is stored compressed.
    """
    static = expectation.activations.mode == "static"
    for weight in unclaimed:
        original = _original(weight, expectation, tolerance)
        if weight.scheme.encoding != "float":
            planned = str(weight.scheme) if original or static else "float32"
            reason = f"another copy of {original.name}" if original else _constant_reason(static)
        elif original and original.planned.encoding != "float":
            planned = str(original.planned)
            reason = f"a float copy of {original.name} is kept beside it"
        else:
            continue
        yield LedgerEntry(
            kind="weight",
            name=weight.name,
            requested=str(original.requested) if original else "float32",
            planned=planned,
            applied=str(weight.scheme),
            size_before_bytes=_FLOAT32_BYTES * weight.fingerprint.elements,
            size_after_bytes=weight.size_bytes,
            status="as_planned" if planned == str(weight.scheme) else "different",
            reason=reason,
        )


def _original(
    constant: WeightInfo, expectation: Expectation, tolerance: float
) -> ExpectedWeight | None:
    """Give the first weight that a constant has the values of."""
    for item in expectation.weights:
        if item.fingerprint.distance(constant.fingerprint) <= _tolerance(
            constant.scheme, tolerance
        ):
            return item
    return None


def _constant_reason(static: bool) -> str:
    if static:
        return "a constant operand, in integers like the activations it meets"
    return "a constant that is no weight was compressed"


def _op_entry(op: OpInfo, expectation: Expectation) -> LedgerEntry:
    requested = expectation.activations
    planned = expectation.planned_activations or requested
    fault = _op_fault(op, planned)
    excuse = _op_excuse(op, expectation, planned) if fault else ""
    kept: Status = "as_requested" if planned == requested else "as_planned"
    stated = expectation.activations_reason if planned != requested else ""
    return LedgerEntry(
        kind="op",
        name=f"{op.name} ({op.type})",
        requested=str(requested),
        planned=op.dtype if excuse else str(planned),
        applied=op.dtype,
        status="as_planned" if excuse else "different" if fault else kept,
        reason=excuse or fault or stated,
    )


def _op_fault(op: OpInfo, planned: ActivationScheme) -> str:
    """Say how an op departs from a scheme of activations; empty if it does not."""
    if planned.mode == "float":
        return "" if op.dtype == str(planned) else f"computes in {op.dtype}"
    if op.dtype in _FLOAT_DTYPES:
        return "computes in floating point"
    return "" if op.dtype in _ACTIVATION_DTYPES[planned.bits] else f"computes in {op.dtype}"


def _op_excuse(op: OpInfo, expectation: Expectation, planned: ActivationScheme) -> str:
    """Say why an op rightly computes in another type than planned; empty if it does not."""
    if op.name in expectation.float_ops:
        return expectation.float_ops[op.name]
    if op.dtype not in _FLOAT_DTYPES:
        others = planned.mode != "static" and op.dtype not in _ACTIVATION_DTYPES[8]
        return "no numbers of a layer" if others or op.dtype in _INDEX_DTYPES else ""
    stated = expectation.float_op_types.get(op.type, "")
    return stated or (_IN_DYNAMIC if planned.mode == "dynamic" else "")


def _weight_fraction(ledger: Ledger) -> float:
    weights = [entry for entry in ledger.entries if entry.kind == "weight"]
    total = sum(entry.size_before_bytes for entry in weights)
    different = sum(e.size_before_bytes for e in weights if e.status == "different")
    return different / total if total else 0.0


def _op_fraction(ledger: Ledger) -> float:
    ops = [entry for entry in ledger.entries if entry.kind == "op"]
    return sum(entry.status == "different" for entry in ops) / len(ops) if ops else 0.0
