"""Functions of one tensor, element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.ops.integers import in_64_bits
from mobilesdk.coreml.ops.registry import Kind, OpError, op
from mobilesdk.coreml.precision import carrier

_ROUNDED: dict[str, Callable[[Tensor], Tensor]] = {
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": partial(in_64_bits, torch.square),
    "tan": torch.tan,
    "tanh": torch.tanh,
}
_EXACT: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": partial(in_64_bits, torch.abs),
    "ceil": torch.ceil,
    "floor": torch.floor,
    "identity": lambda x: x,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
}
_CAST_NAMES = {
    "fp16": ElementType.FLOAT16,
    "fp32": ElementType.FLOAT32,
    "fp64": ElementType.FLOAT64,
}


def _register(name: str, compute: Callable[[Tensor], Tensor], kind: Kind) -> None:
    @op(name, kind=kind)
    def function(*, x: Tensor) -> Tensor:
        """Compute the operation of each element; the shape is that of x.

        Raises:
            OpError: An integer is beyond 64 bits.
        """
        return compute(x)


for _name, _compute in _ROUNDED.items():
    _register(_name, _compute, "float")
for _name, _compute in _EXACT.items():
    _register(_name, _compute, "move")


@op("rsqrt")
def rsqrt(*, x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """Give 1 / sqrt(x + epsilon)."""
    return torch.rsqrt(x + epsilon)


@op("inverse")
def inverse(*, x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """Give 1 / (x + epsilon)."""
    return torch.reciprocal(x + epsilon)


@op("log")
def log(*, x: Tensor, epsilon: float = 1e-45) -> Tensor:
    """Give the natural logarithm of x + epsilon."""
    return torch.log(x + epsilon)


@op("clip", kind="move")
def clip(*, x: Tensor, alpha: float, beta: float) -> Tensor:
    """Limit x to alpha … beta, both of the type of x."""
    return x.clamp(alpha, beta)


@op("threshold", kind="move")
def threshold(*, x: Tensor, alpha: float) -> Tensor:
    """Give the larger of x and alpha."""
    return x.clamp(min=alpha)


@op("cast")
def cast(*, x: Tensor, dtype: str) -> Tensor:
    """Convert the type: floats to integers towards zero, integers to fewer bits by wrapping.

    What lies outside the integer type once it is rounded, or is NaN, has no defined result.
    """
    element = named_element(dtype)
    if element is ElementType.BOOL:
        return x != 0
    if element.is_float:
        return x if x.is_floating_point() else x.to(carrier(element))
    return _whole(x, element) if x.is_floating_point() else _wrap(x.to(torch.int64), element)


def named_element(name: str) -> ElementType:
    """Give the element type that MIL calls so in an argument.

    Raises:
        OpError: There is none.
    """
    if name not in _CAST_NAMES and name not in set(ElementType):
        raise OpError(f"the type {name!r} is not known")
    return _CAST_NAMES.get(name) or ElementType(name)


def _whole(x: Tensor, element: ElementType) -> Tensor:
    span = 1 << element.bits
    low = -span // 2 if element.is_signed else 0
    whole = x.trunc()
    if not bool(((whole >= low) & (whole < low + span)).all()):
        raise OpError(f"a number that is none of {element}, or NaN: its conversion is undefined")
    return whole.to(torch.int64)


def _wrap(whole: Tensor, element: ElementType) -> Tensor:
    if element.bits == 64:
        return whole
    span = 1 << element.bits
    if element.is_signed:
        return (whole + span // 2).remainder(span) - span // 2
    return whole.remainder(span)
