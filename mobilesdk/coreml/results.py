"""Checks of values against the types that the program declares for them."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.faults import HIGHER_LIMITS_HINT
from mobilesdk.coreml.ops.room import check_room
from mobilesdk.coreml.precision import Precision, carrier, round_float16, round_float16_in_place
from mobilesdk.coreml.program import TensorType
from mobilesdk.errors import LimitExceeded

_LARGE = 1 << 14  # elements; below, looking costs more than a copy
_RANGES = {
    ElementType.UINT1: (0, 1),
    ElementType.UINT2: (0, 3),
    ElementType.UINT3: (0, 7),
    ElementType.UINT4: (0, 15),
    ElementType.UINT6: (0, 63),
    ElementType.UINT16: (0, (1 << 16) - 1),
    ElementType.UINT32: (0, (1 << 32) - 1),
    ElementType.INT4: (-8, 7),
}


def check_declared(where: str, declared: TensorType, max_elements: int) -> None:
    """Hold a declared shape to the limit; free axes count as 1.

    Raises:
        LimitExceeded: It has more elements.
    """
    if prod(size or 1 for size in declared.shape or ()) > max_elements:
        raise LimitExceeded(
            f"{where}: declared with the shape {list(declared.shape or ())}; the limit is "
            f"{max_elements} elements.",
            hint=HIGHER_LIMITS_HINT,
        )


def is_owned(value: Any, others: Iterable[Any]) -> bool:
    """Tell whether a result is large and shares no memory with others, so that it may be changed.

    Of small results it does not matter.
    """
    if not isinstance(value, Tensor) or value.numel() < _LARGE or not value.is_contiguous():
        return False
    memory = value.untyped_storage().data_ptr()
    for other in others:
        for item in other if isinstance(other, list) else (other,):
            if isinstance(item, Tensor) and item.untyped_storage().data_ptr() == memory:
                return False
    return True


class Unchecked:
    """A value that is no tensor of numbers, a list or a text, say; what takes it checks it."""

    is_float = False

    def __init__(self, name: str) -> None:
        """Take its name."""
        self.name = name

    def __call__(self, value: Any, *, owned: bool = False) -> Any:
        """Give the value as it is."""
        del owned
        return value


class ValueCheck:
    """Check of one tensor: its shape, free axes left out, and its type; and its rounding."""

    def __init__(
        self,
        name: str,
        declared: TensorType,
        precision: Precision,
        max_elements: int,
        *,
        exact: bool,
        what: str = "result",
    ) -> None:
        """Prepare the check.

        Args:
            name: Of the value.
            declared: Its type; of numbers.
            precision: Of the run.
            max_elements: Of a value whose shape is declared with free axes.
            exact: Whether it needs no rounding.
            what: What messages call it.
        """
        element, shape = declared.element, declared.shape
        self.name = name
        self.is_float = element.is_float
        self._what = what
        self._element = element
        self._max_elements = max_elements
        self._carrier = carrier(element)
        self._shape = shape
        self._static = None if shape is None or None in shape else torch.Size(shape)
        self._rounds = not exact and element is ElementType.FLOAT16 and precision.rounds

    def __call__(self, value: Any, *, owned: bool = False) -> Any:
        """Give the value as it is stored.

        Args:
            value: As computed.
            owned: Whether its memory may be changed.

        Raises:
            ValueError: It is not as declared.
            TooLarge: It has more elements than the limit.
        """
        if not isinstance(value, Tensor):
            raise ValueError(f"the {self._what} {self.name} is no tensor")
        if value.shape != self._static:
            check_room(value.shape, self._max_elements)
            self._check_shape(tuple(value.shape))
        if self.is_float:
            return self._stored_float(value, owned)
        return value if value.dtype is torch.bool is self._carrier else self._stored_integer(value)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        declared = self._shape
        if declared is None:
            return
        fits = len(shape) == len(declared) and all(
            expected in (None, size) for size, expected in zip(shape, declared, strict=True)
        )
        if not fits:
            stated = ", ".join("?" if size is None else str(size) for size in declared)
            raise ValueError(
                f"the {self._what} {self.name} has the shape {list(shape)}, declared is [{stated}]"
            )

    def _stored_float(self, value: Tensor, owned: bool) -> Tensor:
        if not value.is_floating_point():
            raise ValueError(
                f"the {self._what} {self.name} is {value.dtype}, declared {self._element}"
            )
        if self._rounds:
            in_place = owned and value.dtype is self._carrier
            return round_float16_in_place(value) if in_place else round_float16(value)
        return value if value.dtype is self._carrier else value.to(self._carrier)

    def _stored_integer(self, value: Tensor) -> Tensor:
        if value.is_floating_point() or (value.dtype is torch.bool) != (
            self._carrier is torch.bool
        ):
            raise ValueError(
                f"the {self._what} {self.name} is {value.dtype}, declared {self._element}"
            )
        stored = value
        if value.dtype is not self._carrier:
            stored = value.to(self._carrier)
            if not torch.equal(stored.to(value.dtype), value):
                raise ValueError(f"the {self._what} {self.name} does not fit {self._element}")
        low, high = _RANGES.get(self._element, (None, None))
        if low is not None and stored.numel() and (stored.min() < low or stored.max() > high):
            raise ValueError(f"the {self._what} {self.name} does not fit {self._element}")
        return stored
