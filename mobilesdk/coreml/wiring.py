"""What makes and what takes each value of a function, for checks that follow values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.constexpr import is_constexpr
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import Function, Operation, TensorType, Value
from mobilesdk.coreml.uses import Use, main_uses
from mobilesdk.errors import FileRejected

# Operations whose results hold elements of what they take → parameters that these come in by.
MOVED = {
    **dict.fromkeys(("cast", "identity", "expand_dims", "flatten2d", "reshape"), ("x",)),
    **dict.fromkeys(("reshape_like", "squeeze", "transpose", "reverse", "tile"), ("x",)),
    **dict.fromkeys(("slice_by_index", "slice_by_size", "split"), ("x",)),
    **dict.fromkeys(("concat", "stack"), ("values",)),
}


class Wiring:
    """A function with its constants, and the makers and users of its values.

    Attributes:
        constants: Of the function.
        uses: One of each constant that is a tensor of numbers, as `main_uses` gives it.
        operations: All, those of nested blocks too.
        makers: Operation that makes each value.
        types: Of all values.
        users: Operations that take each value.
        results: Names of the values that the function or a nested block gives.
    """

    def __init__(self, package: Package, function: Function) -> None:
        """Follow all values once."""
        self.constants = Constants(package, function)
        self.uses = tuple(
            use for use in main_uses(function, self.constants) if self._is_tensor(use.name)
        )
        self.operations = tuple(function.block.walk())
        self.makers = {out.name: item for item in self.operations for out in item.outputs}
        self.types = {item.name: item.type for item in function.inputs}
        self.types |= {out.name: out.type for item in self.operations for out in item.outputs}
        self.users: dict[str, list[Operation]] = {}
        for operation in self.operations:
            for name in dict.fromkeys(names(operation, tuple(operation.inputs))):
                self.users.setdefault(name, []).append(operation)
        blocks = [function.block, *(each for item in self.operations for each in item.blocks)]
        self.results = frozenset(name for block in blocks for name in block.outputs)

    def _is_tensor(self, name: str) -> bool:
        operation = self.constants.operation(name)
        declared = next(out.type for out in operation.outputs if out.name == name)
        is_text = isinstance(declared, TensorType) and declared.element is ElementType.STRING
        return isinstance(declared, TensorType) and not is_text

    def end_uses(self, name: str) -> Iterator[Use]:
        """Give the uses of a value, and of what only moves its elements, by other operations."""
        pending = [name]
        for value in pending:  # it grows
            users = self.users.get(value, ())
            for operation in (user for user in users if not is_constexpr(user.type)):
                for parameter, bindings in operation.inputs.items():
                    if value in bindings and parameter not in MOVED.get(operation.type, ()):
                        yield Use(value, operation, parameter)
                if value in names(operation, MOVED.get(operation.type, ())):
                    moved = (output.name for output in operation.outputs)
                    pending += [each for each in moved if each not in pending]

    def is_compressed(self, use: Use) -> bool:
        """Tell whether a constant is more than floats: integers, tables, or zeros left out."""
        made_by = self.constants.operation(use.name).type
        return is_constexpr(made_by) and made_by != "constexpr_cast"

    def shape(self, use: Use) -> tuple[int, ...]:
        """Give the declared shape of a constant."""
        return self.constants.declared(use.name).static_shape()

    def argument(self, operation: Operation, parameter: str) -> NDArray[Any] | None:
        """Decode an argument of a compressed constant.

        Returns:
            None if it is not given, or contradicts itself, of which `read_weights` tells.
        """
        try:
            return self.constants.argument(operation, parameter)
        except FileRejected:
            return None

    def number(self, operation: Operation, parameter: str) -> float | None:
        """Give an argument that is one constant number; None if it is something else."""
        values = self.numbers(operation, parameter)
        return float(values[0]) if values is not None and values.size == 1 else None

    def numbers(self, operation: Operation, parameter: str) -> NDArray[np.float64] | None:
        """Give the constant numbers of an argument as a vector; None if it has none."""
        bindings = operation.inputs.get(parameter, ())
        if len(bindings) != 1:
            return None
        binding = bindings[0]
        if isinstance(binding, Value):
            values: Any = self.constants.value(binding)
        elif binding in self.constants:
            values = self.constants.read(binding)
        else:
            return None
        if not isinstance(values, np.ndarray) or not values.size or values.dtype.kind not in "iuf":
            return None
        return values.astype(np.float64).ravel()


def names(operation: Operation, parameters: tuple[str, ...]) -> list[str]:
    """Give the names that an operation takes by some of its parameters."""
    bindings = [item for name in parameters for item in operation.inputs.get(name, ())]
    return [item for item in bindings if isinstance(item, str)]
