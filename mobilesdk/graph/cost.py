"""Count the multiplications of a program."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.fx import Node

from mobilesdk.graph.layers import layer_of

_aten = torch.ops.aten
_TRANSPOSED = frozenset(
    {
        _aten.conv_transpose1d.default,
        _aten.conv_transpose2d.input,
        _aten.conv_transpose3d.input,
    }
)
_PRODUCTS = frozenset({_aten.mm.default, _aten.bmm.default, _aten.matmul.default})


def count_macs(program: torch.export.ExportedProgram) -> int:
    """Count the multiply-accumulate operations of one run: of layers, products and attention.

    Biases, activations, norms and pools are left out, as is usual.
    """
    return sum(_macs(node) for node in program.graph.nodes if node.op == "call_function")


def _macs(node: Node) -> int:
    layer = layer_of(node)
    if node.target in _TRANSPOSED:
        return prod(_shape(node.args[0])) * prod(_shape(node.args[1])[1:])
    if layer is not None:
        weight = _shape(node.args[layer.weight])
        per_output = weight[0] if layer.weight == 2 else prod(weight[1:])  # addmm: [in, out]
        return prod(_shape(node)) * per_output
    if node.target in _PRODUCTS:
        return prod(_shape(node)) * _shape(node.args[0])[-1]
    if node.target is _aten.scaled_dot_product_attention.default:
        query, key, value = (_shape(each) for each in node.args[:3])
        return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return 0


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in node.meta["val"].shape)
