"""Numbers that are infinite or not a number (NaN): whether there are any, and who made them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mobilesdk.coreml.constexpr import is_constant
from mobilesdk.coreml.ops.lists import TensorList
from mobilesdk.coreml.ops.state import State


@dataclass(frozen=True)
class NonFinite:
    """A constant that is stored so, or a result that is not finite while its arguments are.

    A result with NaN counts too if its arguments have infinities, but no NaN.

    Attributes:
        operation: Its name; of a constant that is written in place, the argument and the operation.
        op_type: Its type, e.g. ``mul``; of a constant ``const`` or ``constexpr_…``.
        result: Name of the result.
        count: Elements that are infinite or not a number.
        total: All elements.
        of_infinity: Whether it is a result with NaN, and an argument was infinite.
    """

    operation: str
    op_type: str
    result: str
    count: int
    total: int
    of_infinity: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether it is stored in the package; an attention mask has to be infinite, say."""
        return is_constant(self.op_type)

    def __str__(self) -> str:
        if self.of_infinity:
            return (
                f"{self.op_type} {self.operation}: {self.count} of {self.total} values are NaN or "
                "infinite; it made NaN of infinity."
            )
        how = "as they are stored" if self.is_constant else "though all it was given are"
        return (
            f"{self.op_type} {self.operation}: {self.count} of {self.total} values are not finite, "
            f"{how}."
        )


def found_in(
    value: Tensor, operation: str, op_type: str, result: str, *, of_infinity: bool = False
) -> NonFinite:
    """Describe a tensor that is not finite."""
    count = int(value.numel() - value.isfinite().sum())
    return NonFinite(operation, op_type, result, count, value.numel(), of_infinity)


def is_finite(value: Any) -> bool:
    """Tell whether all numbers in a value are finite; a text has none."""
    if isinstance(value, Tensor):
        if not value.is_floating_point() or math.isfinite(value.sum()):
            return True
        return bool(value.isfinite().all())  # the sum of large finite values may be infinite
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, State):
        return is_finite(value.value)
    if isinstance(value, TensorList):
        return is_finite(value.items)
    return not isinstance(value, (list, tuple)) or all(map(is_finite, value))


def has_nan(value: Any) -> bool:
    """Tell whether any number in a value is NaN."""
    if isinstance(value, Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, State):
        return has_nan(value.value)
    if isinstance(value, TensorList):
        return has_nan(value.items)
    return isinstance(value, (list, tuple)) and any(map(has_nan, value))
