"""How ops are written when the axes of what they take are in another order.

An order says where the axes of a value come from: ``value = reordered.permute(order)``, so that
axis ``i`` of the value is axis ``order[i]`` of the reordered one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx.node import Node

from mobilesdk.graph.symbols import same_size

_aten = torch.ops.aten

Order = tuple[int, ...]

_NOT_TAGGED = frozenset({_aten.relu6.default, _aten.hardtanh.default})


@dataclass(frozen=True)
class Written:
    """An op for reordered operands.

    Attributes:
        arguments: Of the op, with the operands as they were.
        is_reordered: Whether its result has the order of its operands; else it has the axes that
            it had before.
    """

    arguments: tuple[Any, ...]
    is_reordered: bool = True


def inverse(order: Order) -> Order:
    """Give the order that undoes another one."""
    return tuple(order.index(axis) for axis in range(len(order)))


def combined(first: Order, second: Order) -> Order:
    """Give the order of ``value.permute(first).permute(second)``."""
    return tuple(first[axis] for axis in second)


def moves_only_ones(shape: Sequence[int], order: Order) -> bool:
    """Tell whether a permute leaves the order of all axes that are longer than 1."""
    long = [axis for axis in order if not same_size(shape[axis], 1)]
    return long == sorted(long)


def written(node: Node, order: Order) -> Written | None:
    """Write an op for operands with the axes of an order; ``None`` where no rule says how."""
    if any(isinstance(value, Node) for value in node.kwargs.values()):
        return None
    target: Any = node.target
    if target in _RULES:
        return _RULES[target](node, order)
    pointwise = isinstance(target, torch._ops.OpOverload) and (
        target in _NOT_TAGGED or torch.Tag.pointwise in target.tags
    )
    has_rank = isinstance(node.meta.get("val"), torch.Tensor) and _rank(node) == len(order)
    return Written(node.args) if pointwise and has_rank else None


def _axis_argument(node: Node, order: Order) -> Written | None:
    """Of an op whose second argument is an axis: a concatenation, a softmax, a slice."""
    axis = node.args[1] if len(node.args) > 1 else 0
    return Written((node.args[0], _moved(axis, order), *node.args[2:]))


def _reduction(node: Node, order: Order) -> Written | None:
    """Of a mean, sum or extreme over axes."""
    if len(node.args) < 2 or not node.args[1]:
        return None
    axes = [_moved(axis, order) for axis in node.args[1]]
    if _rank(node) == len(order):
        return Written((node.args[0], axes, *node.args[2:]))
    kept = [axis for axis in order if axis not in axes]
    if kept != sorted(kept):
        return None
    return Written((node.args[0], axes, *node.args[2:]), is_reordered=False)


def _pad(node: Node, order: Order) -> Written | None:
    """Of a pad, whose widths are those of the last axis first."""
    widths: Any = node.args[1]
    if len(node.args) > 2 and node.args[2] not in ("constant", 0, 0.0):
        return None
    by_axis = {
        len(order) - 1 - place: widths[2 * place : 2 * place + 2]
        for place in range(len(widths) // 2)
    }
    moved = {_moved(axis, order): pair for axis, pair in by_axis.items() if any(pair)}
    last = min(moved, default=len(order))
    pairs = [moved.get(axis, (0, 0)) for axis in reversed(range(last, len(order)))]
    return Written((node.args[0], [width for pair in pairs for width in pair], *node.args[2:]))


_RULES: dict[Any, Callable[[Node, Order], Written | None]] = {
    _aten.cat.default: _axis_argument,
    _aten.softmax.int: _axis_argument,
    _aten._softmax.default: _axis_argument,
    _aten.slice.Tensor: _axis_argument,
    _aten.mean.dim: _reduction,
    _aten.sum.dim_IntList: _reduction,
    _aten.amax.default: _reduction,
    _aten.amin.default: _reduction,
    _aten.pad.default: _pad,
    _aten.constant_pad_nd.default: _pad,
}


def _moved(axis: Any, order: Order) -> int:
    moved: int = order[axis]
    return moved


def _rank(node: Node) -> int:
    return int(node.meta["val"].dim())
