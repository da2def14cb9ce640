"""List the ops of an ML Program that compute something, for inspection."""

from __future__ import annotations

from mobilesdk.core.artifact import OpInfo
from mobilesdk.coreml.constexpr import is_constexpr
from mobilesdk.coreml.program import Function, Operation, TensorType


def computing_ops(function: Function) -> tuple[OpInfo, ...]:
    """Give all ops but constants and the decoding of constants, in the order of the file."""
    return tuple(
        OpInfo(name=operation.name, type=operation.type, dtype=_dtype(operation))
        for operation in function.block.walk()
        if operation.type != "const" and not is_constexpr(operation.type)
    )


def _dtype(operation: Operation) -> str:
    first = operation.outputs[0].type if operation.outputs else None
    return first.element.value if isinstance(first, TensorType) else ""
