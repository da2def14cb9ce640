"""Insert and replace ops of a graph whose values carry their shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from mobilesdk.errors import ConversionFailed
from mobilesdk.graph.symbols import same_size

_aten = torch.ops.aten


def insert(node: Node, target: object, *arguments: object, shape: list[Any] | None = None) -> Node:
    """Insert an op before a node.

    Args:
        node: Where, and whose dtype the result has.
        target: The op.
        arguments: What it takes.
        shape: Of its result; ``None`` if that is its last argument.
    """
    with node.graph.inserting_before(node):
        inserted = node.graph.call_function(target, arguments)
    result = arguments[-1] if shape is None else shape
    inserted.meta["val"] = node.meta["val"].new_empty(result)
    return inserted


def insert_reshape(node: Node, value: Node, shape: list[Any]) -> Node:
    """Insert a reshape before a node.

    A size that is a symbol is asked of a value that has it: the reshaped one, or one that the node
    takes. One that none has is left to the number of elements.

    Raises:
        ConversionFailed: More than one is unknown.
    """
    sizes = [_size(node, value, size) for size in shape]
    if sizes.count(-1) > 1:
        raise ConversionFailed(
            f"{node.name}: a shape of {len(shape)} axes has {sizes.count(-1)} sizes that no value "
            "before it has.",
            hint="this is a fault of mobilesdk: please report it with the model.",
        )
    return insert(node, _aten.reshape.default, value, sizes, shape=shape)


def _size(node: Node, value: Node, size: Any) -> Any:
    if isinstance(size, int):
        return size
    for source in (value, *node.all_input_nodes):
        for axis, known in enumerate(shape_of(source)):
            if same_size(known, size):
                with node.graph.inserting_before(node):
                    asked = node.graph.call_function(_aten.sym_size.int, (source, axis))
                asked.meta["val"] = size
                return asked
    return -1


def replace(node: Node, by: Node) -> None:
    """Let all users of a node take another one, and erase it."""
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def shape_of(node: Node) -> list[Any]:
    """Give the shape of a value."""
    return list(node.meta["val"].shape)
