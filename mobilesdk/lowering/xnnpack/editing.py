"""Insert and replace ops of a graph whose values carry their shapes."""

from __future__ import annotations

import torch
from torch.fx import Node

_aten = torch.ops.aten


def insert(node: Node, target: object, *arguments: object, shape: list[int] | None = None) -> Node:
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


def insert_reshape(node: Node, value: object, shape: list[int]) -> Node:
    """Insert a reshape before a node."""
    return insert(node, _aten.reshape.default, value, shape)


def replace(node: Node, by: Node) -> None:
    """Let all users of a node take another one, and erase it."""
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def shape_of(node: Node) -> list[int]:
    """Give the shape of a value."""
    return list(node.meta["val"].shape)
