"""The ops of a flat graph, with attributes as Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mobilesdk.errors import FileRejected, InvalidModel

Ref = tuple[str, int]
"""Name of a node, and the number of its output."""

_MAX_CONSTANT_BYTES = 2 << 30


@dataclass(frozen=True)
class Node:
    """An op.

    Attributes:
        name: Unique in the graph; without the names of the calls that lead to it where it can be.
        op: Its type.
        inputs: Where its operands come from.
        attributes: By name, those that the file leaves out with the values that TensorFlow gives
            them: numbers, texts, tuples of these; dtypes are names (``float32``), shapes tuples
            with ``None`` for open axes, constants arrays.
    """

    name: str
    op: str
    inputs: tuple[Ref, ...]
    attributes: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Give the value of an attribute."""
        return self.attributes[name]

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}"


def attributes_of(node: Any, definition: Any) -> dict[str, Any]:
    """Give the attributes of a ``NodeDef``.

    Args:
        node: From the file.
        definition: ``OpDef`` of TensorFlow, which has the values of those that are left out.

    Raises:
        FileRejected: A constant is larger than any in a file.
        InvalidModel: A constant is damaged.
    """
    defaults = {a.name: a.default_value for a in definition.attr if a.HasField("default_value")}
    stated = {name: value for name, value in node.attr.items() if not name.startswith("_")}
    return {name: _value(node, value) for name, value in {**defaults, **stated}.items()}


def _value(node: Any, value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "list":
        lists = (value.list.i, value.list.f, value.list.b)
        plain = next((tuple(each) for each in lists if each), ())
        return plain or (
            *(text.decode("utf-8", "replace") for text in value.list.s),
            *map(dtype_name, value.list.type),
            *map(shape_of, value.list.shape),
        )
    if kind == "s":
        return value.s.decode("utf-8", "replace")
    if kind == "type":
        return dtype_name(value.type)
    if kind == "shape":
        return shape_of(value.shape)
    if kind == "tensor":
        return _constant(node, value.tensor)
    return getattr(value, kind or "placeholder")


def dtype_name(number: int) -> str:
    """Give the name of a dtype, or of what is none: ``string``, ``resource``."""
    from tensorflow.dtypes import as_dtype

    try:
        return str(as_dtype(number).name).removesuffix("_ref")
    except TypeError:
        return f"type {number}"


def shape_of(shape: Any) -> tuple[int | None, ...] | None:
    """Give a shape with ``None`` for open axes; ``None`` if even its rank is open."""
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _constant(node: Any, tensor: Any) -> Any:
    from tensorflow import make_ndarray

    dtype = dtype_name(tensor.dtype)
    if dtype == "string":
        return tuple(tensor.string_val)
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if any(size < 0 for size in sizes) or prod(sizes) > _MAX_CONSTANT_BYTES // 8:
        raise FileRejected(
            f"The constant {node.name!r} has the shape {sizes}, which no file holds.",
            hint="get the model again from whom it comes, and compare its hash.",
        )
    try:
        return np.array(make_ndarray(tensor))
    except (TypeError, ValueError) as error:
        raise InvalidModel(
            f"The constant {node.name!r} cannot be read: {error}",
            hint="write the SavedModel again: it is damaged.",
        ) from error
