"""Functions of two tensors, element by element, broadcast as numpy does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import Kind, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_broadcast


def _wide(compute: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Compute integers in 64 bits, so that a result that its type cannot hold is seen."""

    def wide(x: Tensor, y: Tensor) -> Tensor:
        return compute(x, y) if x.is_floating_point() else compute(x.long(), y.long())

    return wide


def _divide(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point() or y.is_floating_point():
        return x / y
    return torch.div(x, y, rounding_mode="trunc")


def _power(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point() or y.is_floating_point():
        return torch.pow(x, y)
    return torch.pow(x.double(), y.double()).to(torch.int64)


_ROUNDED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": _wide(torch.add),
    "floor_div": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "mod": torch.remainder,
    "mul": _wide(torch.mul),
    "pow": _power,
    "real_div": _divide,
    "sub": _wide(torch.sub),
}
_EXACT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "equal": torch.eq,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "not_equal": torch.ne,
}


def _register(name: str, compute: Callable[[Tensor, Tensor], Tensor], kind: Kind) -> None:
    @op(name, kind=kind)
    def function(*, x: Tensor, y: Tensor, max_elements: int = MAX_ELEMENTS) -> Tensor:
        check_broadcast(max_elements, x, y)
        return compute(x, y)


for _name, _compute in _ROUNDED.items():
    _register(_name, _compute, "float")
for _name, _compute in _EXACT.items():
    _register(_name, _compute, "move")
