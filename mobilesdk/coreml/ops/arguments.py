"""How the arguments of an operation are given to its function, by annotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Union, get_args, get_origin

import torch
from torch import Tensor

Ints = tuple[int, ...]
Floats = tuple[float, ...]
Bools = tuple[bool, ...]
Tensors = list[Tensor]
Values = list[Any]
Texts = list[str]
Blocks = tuple[Callable[..., tuple[Any, ...]], ...]
Results = tuple[Any, ...]

MAX_VECTOR = 1 << 16
"""Elements of a vector argument; longer ones are no sizes, axes or positions."""

_KINDS = {int: "whole numbers", float: "numbers", bool: "booleans"}

# From the values that are bound to a parameter to what the function is given.
Converter = Callable[[Sequence[Any]], Any]


def converter(annotation: Any) -> Converter:
    """Give the conversion for an annotation.

    Raises:
        TypeError: It is none of those listed in the package.
    """
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        annotation = next(item for item in get_args(annotation) if item is not NoneType)
    for known, convert in _CONVERTERS:
        if annotation == known:
            return convert
    if isinstance(annotation, type):
        return _instance(annotation)
    raise TypeError(f"no conversion for a parameter of type {annotation}")


def _one(values: Sequence[Any]) -> Any:
    if len(values) != 1:
        raise ValueError(f"{len(values)} values where one is taken")
    return values[0]


def _tensor(values: Sequence[Any]) -> Tensor:
    return _checked(_one(values), Tensor)


def _tensors(values: Sequence[Any]) -> list[Tensor]:
    return [_checked(value, Tensor) for value in values]


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        told = f"the text {value!r}" if isinstance(value, str) else f"a {type(value).__name__}"
        raise ValueError(f"{told} where a {kind.__name__} is taken")
    return value


def _instance(kind: type) -> Converter:
    return lambda values: _checked(_one(values), kind)


def _of_kind(tensor: Tensor, kind: type) -> Tensor:
    """Refuse numbers of another kind; whole ones are floats too."""
    is_bool, is_float = tensor.dtype is torch.bool, tensor.is_floating_point()
    if is_bool is not (kind is bool) or (is_float and kind is int):
        told = str(tensor.dtype).removeprefix("torch.")
        raise ValueError(f"{told} where {_KINDS[kind]} are taken")
    return tensor


def _scalar(kind: type) -> Converter:
    return lambda values: kind(_of_kind(_tensor(values), kind).item())


def _vector(kind: type) -> Converter:
    def convert(values: Sequence[Any]) -> Any:
        tensors = _tensors(values)
        count = sum(tensor.numel() for tensor in tensors)
        if count > MAX_VECTOR:
            raise ValueError(f"{count} values where a vector of {MAX_VECTOR} at most is taken")
        checked = (_of_kind(tensor, kind) for tensor in tensors)
        return tuple(kind(item) for tensor in checked for item in tensor.reshape(-1).tolist())

    return convert


def _text(values: Sequence[Any]) -> str:
    text: str = _checked(_one(values), str)
    return text


def _texts(values: Sequence[Any]) -> list[str]:
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [_checked(item, str) for item in flat]


ints = _vector(int)
"""Give the whole numbers in tensors one after the other, as for a parameter of `Ints`."""

_CONVERTERS: tuple[tuple[Any, Converter], ...] = (
    (Tensor, _tensor),
    (Tensors, _tensors),
    (Values, list),
    (int, _scalar(int)),
    (float, _scalar(float)),
    (bool, _scalar(bool)),
    (str, _text),
    (Ints, ints),
    (Floats, _vector(float)),
    (Bools, _vector(bool)),
    (Texts, _texts),
    (Any, _one),
)

# The conversions of settings; what is converted otherwise are the values that are computed with.
SETTINGS = frozenset(
    convert for known, convert in _CONVERTERS if known not in (Tensor, Tensors, Values, Any)
)
# The conversion that changes no tensor, and those whose constants are decoded only when used.
AS_IS = _tensor
MAY_BE_LARGE = frozenset({_tensor, _tensors, list})
