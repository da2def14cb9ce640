"""Sizes of values in programs whose shapes are not all known: numbers, or symbols for dimensions.

A symbol compares equal to the size that the example happened to have, and from then on the program
is bound to that size without a word. So rewrites never compare sizes by ``==``, but by these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import SymInt, Tensor
from torch.export import Dim
from torch.fx.node import Node

from mobilesdk.core.contract import Contract

DynamicShapes = tuple[dict[int, Any], ...]
"""For each input, in order: axis → ``torch.export.Dim``."""


def is_static(value: Any) -> bool:
    """Tell whether all sizes of a tensor, or of all tensors of a list, are numbers."""
    if isinstance(value, (tuple, list)):
        return all(map(is_static, value))
    if isinstance(value, Tensor):
        return all(isinstance(size, int) for size in value.shape)
    return not isinstance(value, SymInt)


def same_size(one: Any, other: Any) -> bool:
    """Tell whether two sizes are the same in every call."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    if isinstance(one, SymInt) and isinstance(other, SymInt):
        return bool(one.node.expr == other.node.expr)
    return False


def same_shape(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Tell whether two shapes are the same in every call."""
    return len(one) == len(other) and all(map(same_size, one, other))


def broadcast_shape(*shapes: Sequence[Any]) -> list[Any] | None:
    """Give the shape that operands of an elementwise op stretch to.

    Returns:
        ``None`` where that cannot be told for every call: two symbols may or may not be equal.
    """
    rank = max(map(len, shapes))
    found: list[Any] = []
    for axis in range(-rank, 0):
        sizes = [shape[axis] for shape in shapes if len(shape) >= -axis]
        wide = [size for size in sizes if not same_size(size, 1)]
        if any(not same_size(size, wide[0]) for size in wide):
            return None
        found.append(wide[0] if wide else 1)
    return found


def contract_shapes(contract: Contract) -> DynamicShapes:
    """Give the dynamic shapes of a contract, for ``torch.export``."""
    dims = {each.name: Dim(each.name, min=each.min, max=each.max) for each in contract.dimensions}
    return tuple(
        {
            axis: dims[each.name]
            for each in contract.dimensions
            for axis in each.axes.get(spec.name, ())
        }
        for spec in contract.inputs
    )


def program_shapes(program: torch.export.ExportedProgram) -> DynamicShapes:
    """Give the dynamic shapes that a program was exported with, for exporting it again."""
    nodes = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    dims: dict[Any, Any] = {}
    found: DynamicShapes = ()
    for name in program.graph_signature.user_inputs:
        axes = {}
        for axis, size in enumerate(nodes[name].meta["val"].shape):
            if isinstance(size, SymInt):
                symbol = size.node.expr
                limits = program.range_constraints[symbol]
                low, high = int(limits.lower), int(limits.upper)
                dims.setdefault(symbol, Dim(str(symbol), min=low, max=high))
                axes[axis] = dims[symbol]
        found = (*found, axes)
    return found


def varying_axes(node: Node) -> tuple[int, ...]:
    """Give the axes of a value whose size is no number."""
    sizes = enumerate(node.meta["val"].shape)
    return tuple(axis for axis, size in sizes if not isinstance(size, int))
