"""How channels pass through layers: ops that sum over the channels of what they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.fx import Node

from mobilesdk.graph.layers import argument, layer_of
from mobilesdk.graph.pruning.tracing import NoRule, Trace
from mobilesdk.graph.pruning.units import Axes, Labels, stays

_aten = torch.ops.aten
_GROUPS = 6
_TRANSPOSED = frozenset(
    {
        _aten.conv_transpose1d.default,
        _aten.conv_transpose2d.input,
        _aten.conv_transpose3d.input,
    }
)


def groups_of(node: Node) -> int:
    """Give the groups of a convolution."""
    groups: Any = node.args[_GROUPS] if len(node.args) > _GROUPS else 1
    return int(groups)


def is_transposed(node: Node) -> bool:
    """Tell whether a node is a transposed convolution."""
    return node.target in _TRANSPOSED


def convolution(trace: Trace, node: Node) -> Axes:
    """Convolutions, transposed ones too: input channels in, output channels out, by groups."""
    data, groups = trace.axes(node.args[0]), groups_of(node)
    weight_node: Any = node.args[1]
    takes, makes = (0, 1) if is_transposed(node) else (1, 0)
    weight = trace.weight(node, weight_node, makes=makes, takes=takes)
    if len(data) != len(weight):
        raise NoRule("its input has no batch axis")
    for taps in weight[2:]:
        trace.units.keep(taps, f"{node.name} filters along it")
    if is_transposed(node):
        out = _transposed(trace, data[1], weight, groups, node.name)
    else:
        out = _grouped(trace, data[1], weight, groups, node.name)
    _bias(trace, node, out)
    rest = node.meta["val"].shape[2:]
    return (data[0], out, *(stays(size) for size in rest))


def _grouped(trace: Trace, data: Labels, weight: Axes, groups: int, where: str) -> Labels:
    made, taken = weight[0], weight[1]
    if len(data) == groups:  # depthwise: a group goes as a whole
        for column in made.reshape(groups, -1).T:
            trace.units.unite(data, column, where)
        return made
    _tie_groups(trace, data.reshape(groups, -1), taken, where)
    rows = made.reshape(groups, -1)
    _tie_groups(trace, rows, rows[0], where)
    return made


def _transposed(trace: Trace, data: Labels, weight: Axes, groups: int, where: str) -> Labels:
    taken, made = weight[0], weight[1]
    trace.units.unite(data, taken, where)
    if groups == 1:
        return made
    if len(data) == groups:
        trace.units.keep(made, f"{where} makes it of every channel")
        return np.repeat(taken, len(made))
    rows = taken.reshape(groups, -1)
    _tie_groups(trace, rows, rows[0], where)
    return np.tile(made, groups)


def _tie_groups(trace: Trace, rows: Labels, first: Labels, where: str) -> None:
    """Let the channels at one place of every group go together, so that groups stay equal."""
    for row in rows:
        trace.units.unite(first, row, where)


def linear(trace: Trace, node: Node) -> Axes:
    """``x @ w.T + b``, and ``b + x @ w``."""
    layer = layer_of(node)
    if layer is None:
        raise NoRule("it is no layer")
    data = trace.axes(node.args[layer.input])
    takes, makes = (0, 1) if node.target is _aten.addmm.default else (1, 0)
    weight_node: Any = node.args[layer.weight]
    weight = trace.weight(node, weight_node, makes=makes, takes=takes)
    trace.units.unite(data[-1], weight[takes], node.name)
    _bias(trace, node, weight[makes])
    return (*data[:-1], weight[makes])


def product(trace: Trace, node: Node) -> Axes:
    """``mm``, ``bmm``, ``matmul``: with a weight as the second operand, or of two values."""
    first, second = trace.axes(node.args[0]), trace.axes(node.args[1])
    if min(len(first), len(second)) < 2:
        raise NoRule("it multiplies vectors")
    other: Any = node.args[1]
    if len(second) == 2 and not trace.varies(other):
        second = trace.weight(node, other, makes=1, takes=0)
        trace.units.unite(first[-1], second[0], node.name)
    else:
        for labels in (first[-1], second[-2]):
            trace.units.keep(labels, f"{node.name} sums over it")
    return (
        *trace.broadcast([first[:-2], second[:-2]], node.name),
        first[-2],
        second[-1],
    )


def attention(trace: Trace, node: Node) -> Axes:
    """Scaled dot-product attention: heads pass through, as does the width of the values."""
    arguments = {
        each.name: node.args[place] if place < len(node.args) else node.kwargs.get(each.name)
        for place, each in enumerate(node.target._schema.arguments)
    }
    if arguments.get("enable_gqa"):
        raise NoRule("its heads share keys")
    query, key, value = (trace.axes(arguments[name]) for name in ("query", "key", "value"))
    for labels in (query[-1], key[-1], query[-2], key[-2], value[-2]):
        trace.units.keep(labels, f"{node.name} sums over it")
    heads = trace.broadcast([query[:-2], key[:-2], value[:-2]], node.name)
    mask = arguments.get("attn_mask")
    if mask is not None:
        heads = trace.broadcast([(*heads, query[-2], key[-2]), trace.axes(mask)], node.name)[:-2]
    return (*heads, query[-2], value[-1])


def embedding(trace: Trace, node: Node) -> Axes:
    """Rows of a table: its width is what it makes."""
    weight = trace.axes(node.args[0])
    trace.units.keep(weight[0], f"{node.name} looks rows up in it")
    return (*trace.axes(node.args[1]), weight[1])


def _bias(trace: Trace, node: Node, out: Labels) -> None:
    layer = layer_of(node)
    bias = argument(node, layer.bias) if layer else None
    if bias is not None:
        trace.broadcast([(out,), trace.axes(bias)[-1:]], node.name)
