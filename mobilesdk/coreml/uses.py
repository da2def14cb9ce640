"""Which operation takes each constant, and as what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.constexpr import is_constant
from mobilesdk.coreml.program import Function, Operation
from mobilesdk.errors import FileRejected

# Axis of the output channels of a weight, by operation and parameter.
_CHANNEL_AXES = {
    ("conv", "weight"): 0,
    ("conv_transpose", "weight"): 1,
    ("linear", "weight"): 0,
    ("gather", "x"): 0,
    ("gather_along_axis", "x"): 0,
}


@dataclass(frozen=True)
class Use:
    """A constant as an operation takes it."""

    name: str
    operation: Operation
    parameter: str


def uses(function: Function, constants: Constants) -> Iterator[Use]:
    """Give the first use of each constant by an operation that computes."""
    seen: set[str] = set()
    for operation in function.block.walk():
        if is_constant(operation.type):
            continue
        for parameter, bindings in operation.inputs.items():
            for name in bindings:
                if isinstance(name, str) and name in constants and name not in seen:
                    seen.add(name)
                    yield Use(name, operation, parameter)


def channel_axis(use: Use, constants: Constants) -> int | None:
    """Give the axis of the output channels of a weight; None for a constant that is no weight.

    It counts from the end where the weight may have axes before its two, as matrices may.
    """
    if use.operation.type == "matmul":
        flag = use.operation.inputs.get(f"transpose_{use.parameter}", ())
        transposed = bool(_scalar(flag, constants)) if flag else False
        last = use.parameter == "y"
        return -1 if last != transposed else -2
    return _CHANNEL_AXES.get((use.operation.type, use.parameter))


def input_axis(channel_axis: int) -> int:
    """Give the axis of the input channels, counted from the same end as that of the output ones."""
    return -3 - channel_axis if channel_axis < 0 else 1 - channel_axis


def _scalar(bindings: tuple[Any, ...], constants: Constants) -> Any:
    binding = bindings[0]
    values = constants.decode(binding) if isinstance(binding, str) else binding.content
    if not isinstance(values, np.ndarray) or values.size != 1:
        raise FileRejected("ML Program: a flag is not one value.")
    return values.item()
