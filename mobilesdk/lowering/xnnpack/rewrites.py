"""Write ops in the form that XNNPACK's partitioner takes, so that they do not stay outside."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import Any

import torch
from torch.fx import Node

from mobilesdk.graph.symbols import is_static, same_shape
from mobilesdk.lowering.xnnpack.attention import write_out_attention
from mobilesdk.lowering.xnnpack.editing import insert, insert_reshape, replace, shape_of

_aten = torch.ops.aten
_IMAGE_AXES = 4
_LARGEST_CAT = 5  # tensors that XNNPACK joins at once


def rewrite_for_xnnpack(module: torch.fx.GraphModule) -> None:
    """Apply all rewrites to a module, in place; it computes the same afterwards."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _REWRITES:
            _REWRITES[node.target](node)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()


def _keep_axes(node: Node) -> None:
    """Average over an image with its axes kept, then reshape: only that is a global average."""
    value, axes = node.args[:2]
    keeps = len(node.args) > 2 and node.args[2]
    shape = shape_of(value)
    rank = len(shape)
    if keeps or node.kwargs or rank != _IMAGE_AXES or sorted(a % rank for a in axes) != [2, 3]:
        return
    kept = insert(node, _aten.mean.dim, value, axes, True, shape=[*shape[:2], 1, 1])
    replace(node, insert_reshape(node, kept, shape_of(node)))


def _flatten_batches(node: Node) -> None:
    """Multiply stacks of matrices as one batch: the general product brings expansions along."""
    left, right = map(shape_of, node.args)
    batch = left[:-2]
    if not batch or not same_shape(batch, right[:-2]):
        return
    stacks = [
        insert_reshape(node, value, [prod(batch), *shape[-2:]])
        for value, shape in ((node.args[0], left), (node.args[1], right))
    ]
    product = insert(node, _aten.bmm.default, *stacks, shape=[prod(batch), left[-2], right[-1]])
    replace(node, insert_reshape(node, product, shape_of(node)))


def _write_out_sigmoid(node: Node) -> None:
    """Write a hard sigmoid as a sum, a clamp and a product, each of which has an int8 kernel."""
    value, shape = node.args[0], shape_of(node)
    shifted = insert(node, _aten.add.Tensor, value, 3.0, shape=shape)
    clamped = insert(node, _aten.hardtanh.default, shifted, 0.0, 6.0, shape=shape)
    replace(node, insert(node, _aten.mul.Tensor, clamped, 1 / 6, shape=shape))


def _reshape(node: Node) -> None:
    """Write an added or removed axis, or a view, as a reshape: it asks for no order in memory."""
    if node.target is _aten.view.default and not is_static(node.meta["val"]):
        node.target = _aten.reshape.default
    else:
        replace(node, insert_reshape(node, node.args[0], shape_of(node)))


def _write_out_length(node: Node) -> None:
    """Write a Euclidean length with a square and a root: the general powers stay outside.

    None of the three has an int8 kernel, so that what is normalized stays float.
    """
    value, *given = node.args
    defaults: list[Any] = [2, None, False]
    order, axes, keeps = given + defaults[len(given) :]
    if order != 2 or node.kwargs:
        return
    summed = list(range(len(shape_of(value)))) if axes is None else list(axes)
    squares = insert(node, _aten.pow.Tensor_Scalar, value, 2, shape=shape_of(value))
    total = insert(node, _aten.sum.dim_IntList, squares, summed, keeps, shape=shape_of(node))
    replace(node, insert(node, _aten.sqrt.default, total, shape=shape_of(node)))


def _repeat_pixels(node: Node) -> None:
    """Write nearest resizing by whole numbers as copies joined along new axes, which are int8."""
    if not is_static(node.meta["val"]):
        return
    batch, channels, rows, columns = shape_of(node.args[0])
    wanted = shape_of(node)[2:]
    down, across = wanted[0] // rows, wanted[1] // columns
    if [rows * down, columns * across] != wanted or max(down, across) > _LARGEST_CAT:
        return
    lines = batch * channels * rows
    value = _repeated(node, node.args[0], [lines, 1, columns], down)
    value = _repeated(node, value, [lines * down * columns, 1, 1], across)
    replace(node, insert_reshape(node, value, shape_of(node)))


def _repeated(node: Node, value: Node, shape: list[int], times: int) -> Node:
    """Insert ``times`` copies of a value of a shape, along the middle one of its three axes.

    Each copy is an op of its own: the partitioner counts different operands only.
    """
    if times == 1:
        return value
    copies = [insert_reshape(node, value, shape) for _ in range(times)]
    return insert(node, _aten.cat.default, copies, 1, shape=[shape[0], times, shape[2]])


def _select(node: Node) -> None:
    """Write one place of an axis as a slice, then reshape."""
    value, axis, place = node.args
    length = shape_of(value)[axis]
    if place < 0 and not isinstance(length, int):
        return
    part = _part(node, value, axis, place if place >= 0 else place + length, 1)
    replace(node, insert_reshape(node, part, shape_of(node)))


def _take_apart(node: Node) -> None:
    """Write each part that ``split`` or ``unbind`` gives as a slice."""
    single = node.target is _aten.unbind.int
    place_of_axis = 1 if single else 2
    axis = node.args[place_of_axis] if len(node.args) > place_of_axis else 0
    lengths = [1 if single else part.shape[axis] for part in node.meta["val"]]
    if not all(isinstance(length, int) for length in lengths):
        return
    starts = [0, *accumulate(lengths)]
    for user in list(node.users):
        place = user.args[1]
        part = _part(user, node.args[0], axis, starts[place], lengths[place])
        replace(user, insert_reshape(user, part, shape_of(user)) if single else part)


def _part(node: Node, value: Node, axis: int, start: int, length: int) -> Node:
    """Insert a slice of a value before a node."""
    shape = shape_of(value)
    shape[axis] = length
    return insert(node, _aten.slice.Tensor, value, axis, start, start + length, shape=shape)


_REWRITES: dict[Any, Callable[[Node], None]] = {
    _aten.hardsigmoid.default: _write_out_sigmoid,
    _aten.linalg_vector_norm.default: _write_out_length,
    _aten.matmul.default: _flatten_batches,
    _aten.mean.dim: _keep_axes,
    _aten.scaled_dot_product_attention.default: write_out_attention,
    _aten.select.int: _select,
    _aten.split.Tensor: _take_apart,
    _aten.split_with_sizes.default: _take_apart,
    _aten.squeeze.dim: _reshape,
    _aten.squeeze.dims: _reshape,
    _aten.unbind.int: _take_apart,
    _aten.unsqueeze.default: _reshape,
    _aten.upsample_nearest2d.default: _repeat_pixels,
    _aten.upsample_nearest2d.vec: _repeat_pixels,
    _aten.view.default: _reshape,
}
