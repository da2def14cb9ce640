"""How the arguments of an operation are given to its function, by annotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Union, get_args, get_origin

from torch import Tensor

Ints = tuple[int, ...]
Floats = tuple[float, ...]
Bools = tuple[bool, ...]
Tensors = list[Tensor]
Texts = list[str]
Blocks = tuple[Callable[..., tuple[Any, ...]], ...]
Results = tuple[Any, ...]

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
    raise TypeError(f"no conversion for a parameter of type {annotation}")


def _one(values: Sequence[Any]) -> Any:
    if len(values) != 1:
        raise ValueError(f"{len(values)} values where one is taken")
    return values[0]


def _scalar(kind: type) -> Converter:
    def convert(values: Sequence[Any]) -> Any:
        value = _one(values)
        if isinstance(value, str):
            raise ValueError(f"the text {value!r} where a number is taken")
        return kind(value.item())

    return convert


def _vector(kind: type) -> Converter:
    def convert(values: Sequence[Any]) -> Any:
        return tuple(kind(item) for value in values for item in value.reshape(-1).tolist())

    return convert


def _text(values: Sequence[Any]) -> str:
    value = _one(values)
    if not isinstance(value, str):
        raise ValueError("a number where a text is taken")
    return value


def _texts(values: Sequence[Any]) -> list[str]:
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    if not all(isinstance(item, str) for item in flat):
        raise ValueError("numbers where texts are taken")
    return flat


def _tensor(values: Sequence[Any]) -> Tensor:
    value = _one(values)
    if not isinstance(value, Tensor):
        raise ValueError("something that is no tensor where one is taken")
    return value


_CONVERTERS: tuple[tuple[Any, Converter], ...] = (
    (Tensor, _tensor),
    (Tensors, list),
    (int, _scalar(int)),
    (float, _scalar(float)),
    (bool, _scalar(bool)),
    (str, _text),
    (Ints, _vector(int)),
    (Floats, _vector(float)),
    (Bools, _vector(bool)),
    (Texts, _texts),
    (Any, _one),
)

# Conversions that change nothing, and those whose constants are decoded only when they are used.
AS_IS = frozenset({_tensor, _one})
MAY_BE_LARGE = frozenset({_tensor, list})
