"""List the ops of an ML Program that compute something, for inspection."""

from __future__ import annotations

from mobilesdk.core.artifact import OpInfo
from mobilesdk.coreml.constexpr import is_constexpr
from mobilesdk.coreml.integer_ops import integer_types
from mobilesdk.coreml.program import Function, Operation, TensorType


def computing_ops(function: Function) -> tuple[OpInfo, ...]:
    """Give all ops but constants and the decoding of constants, in the order of the file.

    An op that takes dequantized values (`integer_types`) is listed with the type of the integers.
    """
    integers = integer_types(function)
    return tuple(
        OpInfo(name=operation.name, type=operation.type, dtype=_dtype(operation, integers))
        for operation in function.block.walk()
        if operation.type != "const" and not is_constexpr(operation.type)
    )


def _dtype(operation: Operation, integers: dict[str, str]) -> str:
    if not operation.outputs:
        return ""
    first = operation.outputs[0]
    declared = first.type.element.value if isinstance(first.type, TensorType) else ""
    return integers.get(first.name, declared)
