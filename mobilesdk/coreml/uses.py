"""Which operations take each constant, and as what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilesdk.coreml.axes import weight_axis
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.constexpr import is_constant
from mobilesdk.coreml.program import Function, Operation
from mobilesdk.errors import FileRejected


@dataclass(frozen=True)
class Use:
    """A constant, or a value that is made of it, as an operation takes it."""

    name: str
    operation: Operation
    parameter: str


def uses(function: Function, constants: Constants) -> Iterator[Use]:
    """Give every use of a constant by an operation that computes, in the order of the program."""
    for operation in function.block.walk():
        if is_constant(operation.type):
            continue
        for parameter, bindings in operation.inputs.items():
            names = dict.fromkeys(item for item in bindings if isinstance(item, str))
            for name in names:
                if name in constants:
                    yield Use(name, operation, parameter)


def main_uses(function: Function, constants: Constants) -> tuple[Use, ...]:
    """Give one use of each constant: its first one as a weight, or else its first one."""
    found: dict[str, Use] = {}
    for use in uses(function, constants):
        known = found.setdefault(use.name, use)
        if channel_axis(known, constants) is None and channel_axis(use, constants) is not None:
            found[use.name] = use
    return tuple(found.values())


def channel_axis(use: Use, constants: Constants) -> int | None:
    """Give the axis of the output channels, as `weight_axis` does; None for what is no weight."""
    flag = use.operation.inputs.get(f"transpose_{use.parameter}", ())
    transposed = bool(_scalar(flag, constants)) if flag else False
    return weight_axis(use.operation.type, use.parameter, transposed=transposed)


def _scalar(bindings: tuple[Any, ...], constants: Constants) -> Any:
    binding = bindings[0]
    values = constants.decode(binding) if isinstance(binding, str) else binding.content
    if not isinstance(values, np.ndarray) or values.size != 1:
        raise FileRejected("ML Program: a flag is not one value.")
    return values.item()
