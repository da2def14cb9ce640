"""Write attention with products and a softmax, all of which XNNPACK has.

ExecuTorch's own decomposition guards the softmax against rows that a mask hides whole, with seven
ops that XNNPACK has no kernels for. Without a mask, or with one that is added, torch itself has no
such guard.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import torch
from torch.fx import Node

from mobilesdk.graph.symbols import is_static, same_shape
from mobilesdk.lowering.xnnpack.editing import insert, insert_reshape, replace, shape_of
from mobilesdk.lowering.xnnpack.weights import constant

_aten = torch.ops.aten
_DEFAULTS: list[Any] = [None, 0.0, False]  # mask, dropout, causal


def write_out_attention(node: Node) -> None:
    """Replace ``scaled_dot_product_attention``, unless its mask is of true and false.

    Args:
        node: Of the graph of a module. Grouped queries and dropout are left as they are, too, and
            a causal mask whose size differs from call to call.
    """
    query, key, value = node.args[:3]
    given: list[Any] = list(node.args[3:6])
    mask, dropout, causal = given + _DEFAULTS[len(given) :]
    queries, keys, values = shape_of(query), shape_of(key), shape_of(value)
    batch = queries[:-2]
    left_alone = dropout or node.kwargs.get("enable_gqa") or len(node.args) > 6
    hides = mask is not None and not mask.meta["val"].is_floating_point()
    if left_alone or hides or not all(same_shape(each[:-2], batch) for each in (keys, values)):
        return
    if causal and not is_static([node.meta["val"], key.meta["val"]]):
        return
    scale = node.kwargs.get("scale") or 1 / sqrt(queries[-1])
    stack = prod(batch)
    rows, columns, depth = queries[-2], keys[-2], queries[-1]
    q = insert_reshape(node, query, [stack, rows, depth])
    k = insert_reshape(node, key, [stack, columns, depth])
    v = insert_reshape(node, value, [stack, columns, values[-1]])
    turned = insert(node, _aten.permute.default, k, [0, 2, 1], shape=[stack, depth, columns])
    scores = insert(node, _aten.bmm.default, q, turned, shape=[stack, rows, columns])
    scores = insert(node, _aten.mul.Tensor, scores, scale, shape=[stack, rows, columns])
    if causal:
        mask = _later_positions(node, rows, columns)
    if mask is not None:
        scores = insert_reshape(node, scores, [*batch, rows, columns])
        scores = insert(node, _aten.add.Tensor, scores, mask, shape=[*batch, rows, columns])
        scores = insert_reshape(node, scores, [stack, rows, columns])
    chances = insert(node, _aten.softmax.int, scores, -1, shape=[stack, rows, columns])
    result = insert(node, _aten.bmm.default, chances, v, shape=[stack, rows, values[-1]])
    replace(node, insert_reshape(node, result, shape_of(node)))


def _later_positions(node: Node, rows: int, columns: int) -> Node:
    """Give a mask that hides from each row what lies behind it; the first column stays seen."""
    hidden = torch.full((rows, columns), torch.finfo(torch.float32).min).triu(1)
    with node.graph.inserting_before(node):
        mask = constant(node.graph, f"{node.name}.later", hidden)
    mask.meta["val"] = node.meta["val"].new_empty(rows, columns)
    return mask
