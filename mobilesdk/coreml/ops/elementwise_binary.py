"""Functions of two tensors, element by element, broadcast as numpy does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mobilesdk.coreml.ops.integers import divided, in_64_bits, whole
from mobilesdk.coreml.ops.registry import Kind, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_broadcast


def _power(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point() or y.is_floating_point():
        return torch.pow(x, y)
    return whole(torch.pow(x.double(), y.double()))


def _remainder(x: Tensor, y: Tensor) -> Tensor:
    if not y.is_floating_point() and not bool(y.all()):
        raise ZeroDivisionError
    return torch.remainder(x, y)


_ROUNDED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": partial(in_64_bits, torch.add),
    "floor_div": lambda x, y: divided(x, y, "floor"),
    "mod": _remainder,
    "mul": partial(in_64_bits, torch.mul),
    "pow": _power,
    "real_div": lambda x, y: divided(x, y, "trunc"),
    "sub": partial(in_64_bits, torch.sub),
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
        """Compute the operation of tensors of one kind, floats or integers, broadcast.

        Comparisons give booleans, all others the kind of x.

        Raises:
            TooLarge: The result has more elements than the limit.
            OpError: An integer is beyond 64 bits.
            ZeroDivisionError: An integer is divided by 0.
        """
        check_broadcast(max_elements, x, y)
        return compute(x, y)


for _name, _compute in _ROUNDED.items():
    _register(_name, _compute, "float")
for _name, _compute in _EXACT.items():
    _register(_name, _compute, "move")
