"""Write ops in the form that XNNPACK's partitioner takes, so that they do not stay outside."""

from __future__ import annotations

from math import prod

import torch
from torch.fx import Node

_aten = torch.ops.aten
_IMAGE_AXES = 4
_RESHAPES = frozenset({_aten.unsqueeze.default, _aten.squeeze.dim, _aten.squeeze.dims})


def rewrite_for_xnnpack(module: torch.fx.GraphModule) -> None:
    """Apply all rewrites to a module, in place; it computes the same afterwards."""
    for node in list(module.graph.nodes):
        if node.target is _aten.mean.dim:
            _keep_axes(node)
        elif node.target is _aten.matmul.default:
            _flatten_batches(node)
        elif node.target is _aten.hardsigmoid.default:
            _write_out(node)
        elif node.target in _RESHAPES:
            _replace(node, _insert(node, _aten.reshape.default, node.args[0], _shape(node)))
    module.graph.lint()
    module.recompile()


def _keep_axes(node: Node) -> None:
    """Average over an image with its axes kept, then reshape: only that is a global average."""
    value, axes = node.args[:2]
    keeps = len(node.args) > 2 and node.args[2]
    shape = _shape(value)
    rank = len(shape)
    if keeps or node.kwargs or rank != _IMAGE_AXES or sorted(a % rank for a in axes) != [2, 3]:
        return
    kept = _insert(node, _aten.mean.dim, value, axes, True, shape=[*shape[:2], 1, 1])
    _replace(node, _insert(node, _aten.view.default, kept, _shape(node)))


def _flatten_batches(node: Node) -> None:
    """Multiply stacks of matrices as one batch: the general product brings expansions along."""
    left, right = map(_shape, node.args)
    batch = left[:-2]
    if not batch or batch != right[:-2]:
        return
    stacks = [
        _insert(node, _aten.reshape.default, value, [prod(batch), *shape[-2:]])
        for value, shape in ((node.args[0], left), (node.args[1], right))
    ]
    product = _insert(node, _aten.bmm.default, *stacks, shape=[prod(batch), left[-2], right[-1]])
    _replace(node, _insert(node, _aten.view.default, product, _shape(node)))


def _write_out(node: Node) -> None:
    """Write a hard sigmoid as a sum, a clamp and a product, each of which has an int8 kernel."""
    value, shape = node.args[0], _shape(node)
    shifted = _insert(node, _aten.add.Tensor, value, 3.0, shape=shape)
    clamped = _insert(node, _aten.hardtanh.default, shifted, 0.0, 6.0, shape=shape)
    _replace(node, _insert(node, _aten.mul.Tensor, clamped, 1 / 6, shape=shape))


def _insert(node: Node, target: object, *arguments: object, shape: list[int] | None = None) -> Node:
    """Insert an op before a node; ``shape`` is that of its result if no argument says it."""
    with node.graph.inserting_before(node):
        inserted = node.graph.call_function(target, arguments)
    result = arguments[-1] if shape is None else shape
    inserted.meta["val"] = node.meta["val"].new_empty(result)
    return inserted


def _replace(node: Node, by: Node) -> None:
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def _shape(node: Node) -> list[int]:
    return list(node.meta["val"].shape)
