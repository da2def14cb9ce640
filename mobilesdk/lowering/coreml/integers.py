"""Static 8-bit activations: which operations of a program take integers, and the rounding there.

The pattern is that of coremltools' ``linear_quantize_activations``: ``dequantize → op → activation
→ quantize``. Unlike there, ranges come from all samples, a clamp is never cut off from the
operation before it, and no weight is touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilesdk.coreml.integer_ops import FUSED_ACTIVATIONS, TAKEN
from mobilesdk.lowering.coreml.editing import without_source
from mobilesdk.numerics.ranges import grid_without_zero_point

_CLAMPS = frozenset({"clip"})  # never fused, but rounding before one spends levels on what it cuts
_WEIGHTED = frozenset({"conv", "linear"})
_NO_INTEGERS = "Core ML has 8-bit activations for convolutions, matrix products, sums and pools"
_NESTED = "it is inside a branch or a loop"
_TYPE_CONVERSION = "converts between types"


@dataclass(frozen=True)
class IntegerRegion:
    """The part of a program that takes integers.

    Attributes:
        ops: Operations that take integers; activations that are one with them are not listed.
        outputs: Values that they give; everything that takes one of these takes it rounded.
        values: Every value that is to be rounded, in the order of the program.
        ranges: Name of such a value → name of the one that stands for all of the same range.
        float_ops: Every other operation → the reason why it stays float.
    """

    ops: frozenset[Any]
    outputs: frozenset[Any]
    values: tuple[Any, ...]
    ranges: dict[str, str]
    float_ops: dict[str, str]


def find_region(mil: Any, int8_weights: Collection[str]) -> IntegerRegion:
    """Find what takes integers in a program.

    Args:
        mil: The coremltools program.
        int8_weights: Names of the constants that are stored as 8-bit integers.
    """
    block = mil.functions["main"]
    reasons = {op: _float_reason(op, int8_weights) for op in block.operations}
    ops = frozenset(op for op, reason in reasons.items() if not reason)
    outputs = frozenset(value for op in ops if (value := _given(op)).child_ops)
    rounded = outputs | {value for op in ops for value in _taken(op)}
    made = [value for op in block.operations for value in op.outputs]
    ordered = [value for value in [*block.inputs.values(), *made] if value in rounded]
    fused = {op for op in map(_last, ops) if op.op_type in FUSED_ACTIVATIONS}
    return IntegerRegion(
        ops=ops,
        outputs=outputs,
        values=tuple(ordered),
        ranges=_shared_ranges(block, ordered),
        float_ops={
            op.name: reasons.get(op, _NESTED)
            for op in _walk(block)
            if not _is_constant(op) and op not in ops and op not in fused
        },
    )


def insert_rounding(
    mil: Any, region: IntegerRegion, ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Put ``quantize`` and ``dequantize`` behind every value that is to be rounded.

    Args:
        mil: The program that `region` was found in; changed in place.
        region: What takes integers.
        ranges: Name of each value that stands for others, or for itself alone → its range.
    """
    block = mil.functions["main"]
    with block, without_source():
        for value in region.values:
            users = list(dict.fromkeys(value.child_ops))
            rounded = _round(block, value, *ranges[region.ranges[value.name]])
            for user in users:
                if value in region.outputs or user in region.ops:
                    _give(user, value, rounded)


def _float_reason(op: Any, int8_weights: Collection[str]) -> str:
    """Say why an operation takes no integers; empty if it does."""
    if op.op_type == "cast":
        return _TYPE_CONVERSION
    if op.op_type not in TAKEN:
        return _NO_INTEGERS
    constants = [value for value in _given_for(op) if _is_made_constant(value)]
    weights = [op.weight] if op.op_type in _WEIGHTED else constants
    if not all(_is_float(value) for value in _taken(op)):
        return "it takes numbers that are no activations"
    if not _taken(op) or (op.op_type == "add" and constants):
        return "one of its operands is a constant, which has no integers of its own"
    if any(value.name not in int8_weights for value in weights):
        return "its weight is not stored in 8 bits"
    return ""


def _walk(block: Any) -> Iterator[Any]:
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from _walk(inner)


def _given_for(op: Any) -> list[Any]:
    return [op.inputs[name] for name in TAKEN[op.op_type]]


def _taken(op: Any) -> list[Any]:
    """Give the activations that an operation takes."""
    return [value for value in _given_for(op) if not _is_made_constant(value)]


def _given(op: Any) -> Any:
    """Give the value that leaves an operation: that of the activation or clamp behind it."""
    return _last(op).outputs[0]


def _last(op: Any) -> Any:
    output = op.outputs[0]
    users = output.child_ops
    alone = len(users) == 1 and output not in op.enclosing_block.outputs
    return users[0] if alone and users[0].op_type in FUSED_ACTIVATIONS | _CLAMPS else op


def _is_float(value: Any) -> bool:
    from coremltools.converters.mil.mil import types

    return bool(types.is_float(value.dtype))


def _is_constant(op: Any) -> bool:
    return bool(op.op_type == "const" or op.op_type.startswith("constexpr_"))


def _is_made_constant(value: Any) -> bool:
    return value.op is not None and _is_constant(value.op)


def _shared_ranges(block: Any, values: list[Any]) -> dict[str, str]:
    """Let what a maximum pool or a concatenation takes and gives have one range.

    These move values: with one range, nothing is rounded twice.
    """
    stands_for = {value.name: value.name for value in values}
    for op in block.operations:
        joined = [value.name for value in _moved(op) if value.name in stands_for]
        ends = {stands_for[name] for name in joined}
        for name, end in stands_for.items():
            if end in ends:
                stands_for[name] = stands_for[joined[0]]
    return stands_for


def _moved(op: Any) -> Iterator[Any]:
    if op.op_type == "max_pool":
        yield op.x
    elif op.op_type == "concat":
        yield from op.values
    else:
        return
    yield op.outputs[0]


def _round(block: Any, value: Any, low: float, high: float) -> Any:
    from coremltools.converters.mil.mil import Builder, types

    scale, element = grid_without_zero_point(low, high)
    typed = np.float16(scale) if value.dtype == types.fp16 else np.float32(scale)
    before = _following(block, value)
    whole = Builder.quantize(
        input=value,
        scale=typed,
        output_dtype=element,
        before_op=before,
        name=f"{value.name}_quantized",
    )
    return Builder.dequantize(
        input=whole, scale=typed, before_op=before, name=f"{value.name}_dequantized"
    )


def _following(block: Any, value: Any) -> Any:
    """Give the operation before which a value can first be used."""
    operations = list(block.operations)
    return operations[0] if value.op is None else operations[operations.index(value.op) + 1]


def _give(user: Any, old: Any, new: Any) -> None:
    user.set_inputs(**{name: _replaced(given, old, new) for name, given in user.inputs.items()})


def _replaced(given: Any, old: Any, new: Any) -> Any:
    if isinstance(given, list | tuple):
        return type(given)(new if item is old else item for item in given)
    return new if given is old else given
