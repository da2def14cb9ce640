"""Rewrites of a prepared program that make litert-torch convert it right, and refusals where not.

Each answers a fault of litert-torch 0.10 that raises no error of its own, or an obscure one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.fx.node import Node

from mobilesdk.errors import ConversionFailed
from mobilesdk.graph.program import graph_module
from mobilesdk.graph.rewriting import get_tensor, new_tensor

_aten = torch.ops.aten

_NEAREST = frozenset(
    {
        _aten.upsample_nearest1d.default,
        _aten.upsample_nearest1d.vec,
        _aten.upsample_nearest2d.default,
        _aten.upsample_nearest2d.vec,
        _aten.upsample_nearest3d.default,
        _aten.upsample_nearest3d.vec,
    }
)
_ANTIALIAS = frozenset(
    {
        _aten._upsample_bilinear2d_aa.default,
        _aten._upsample_bilinear2d_aa.vec,
        _aten._upsample_bicubic2d_aa.default,
        _aten._upsample_bicubic2d_aa.vec,
    }
)


def rewrite_for_litert(program: torch.export.ExportedProgram) -> torch.fx.GraphModule:
    """Give the module to hand to the converter; it computes the same as the program.

    Raises:
        ConversionFailed: The program writes to its buffers, or resizes with antialiasing.
    """
    _refuse_mutation(program)
    module = graph_module(program)
    _refuse_antialias(module)
    for rewrite in _REWRITES:
        for node in list(module.graph.nodes):
            if node.op == "call_function":
                rewrite(module, node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _refuse_mutation(program: torch.export.ExportedProgram) -> None:
    """Refuse buffers that the program writes to: the converter drops the writes silently."""
    mutated = sorted(program.graph_signature.buffers_to_mutate.values())
    if mutated:
        raise ConversionFailed(
            f"The model writes to its buffers {', '.join(mutated)}, and LiteRT files would lose "
            "what is written.",
            hint="make them inputs and outputs of the model.",
        )


def _refuse_antialias(module: torch.fx.GraphModule) -> None:
    for node in module.graph.nodes:
        if node.target in _ANTIALIAS:
            raise ConversionFailed(
                f"LiteRT has no resize with antialiasing ({node.name}: {node.target}).",
                hint="use antialias=False, or resize before the model.",
            )


def _gather_nearest(module: torch.fx.GraphModule, node: Node) -> None:
    """Write nearest resizing by a ratio that is no whole number as a gather along each axis.

    Why: RESIZE_NEAREST_NEIGHBOR takes the centre of a pixel, torch its corner. The two agree when
    the output is a multiple of the input only.
    """
    if node.target not in _NEAREST:
        return
    source = node.all_input_nodes[0]
    sizes, wanted = _shape(source)[2:], _shape(node)[2:]
    if all(after % before == 0 for before, after in zip(sizes, wanted, strict=True)):
        return
    with module.graph.inserting_before(node):
        value = source
        for axis, before in enumerate(sizes):
            index = _nearest_index(node, sizes, axis)
            if index.tolist() == list(range(before)):
                continue
            place = new_tensor(module, f"{node.name}_index{axis}", index, parameter=False)
            value = _call(module, node, _aten.index_select.default, value, 2 + axis, place)
    node.replace_all_uses_with(value)
    module.graph.erase_node(node)


def _nearest_index(node: Node, sizes: tuple[int, ...], axis: int) -> torch.Tensor:
    """Ask torch which index it takes along one axis: resize the coordinates themselves."""
    spread = [1] * len(sizes)
    spread[axis] = sizes[axis]
    coordinates = torch.arange(sizes[axis], dtype=torch.float32).reshape(spread)
    target: Any = node.target
    resized = target(coordinates.expand(1, 1, *sizes).contiguous(), *node.args[1:], **node.kwargs)
    return resized.movedim(2 + axis, 0).flatten(1)[:, 0].long()


def _keep_norm_apart(module: torch.fx.GraphModule, node: Node) -> None:
    """Give the scale and shift of a layer norm as many axes as its input has.

    Why: the converter folds a scale of one axis into the weights of the next linear layer, which
    takes them off their quantization grid; it leaves one of several axes alone.
    """
    if node.target is not _aten.layer_norm.default or len(node.args) < 3:
        return
    source, shape, affine = node.args[0], node.args[1], node.args[2:]
    rank = len(_shape(node))
    with module.graph.inserting_before(node):
        value = _call(module, node, node.target, source, shape, None, None, *affine[2:])
        for parameter, target in zip(affine, (_aten.mul.Tensor, _aten.add.Tensor), strict=False):
            if isinstance(parameter, Node):
                operand = _with_rank(module, parameter, rank)
                value = _call(module, node, target, value, operand)
    node.replace_all_uses_with(value)
    module.graph.erase_node(node)


def _write_out_group_norm(module: torch.fx.GraphModule, node: Node) -> None:
    """Write a group norm as a layer norm over all values of a group, then scale and shift.

    Why: the converter repeats the statistics of each group with BROADCAST_TO, which NNAPI has not.
    """
    if node.target is not _aten.group_norm.default:
        return
    source, groups, *rest = node.args
    defaults: list[Any] = [None, None, 1e-5]
    scale, shift, epsilon = (rest + defaults[len(rest) :])[:3]
    shape = _shape(node)
    size = prod(shape[1:]) // groups
    with module.graph.inserting_before(node):
        value = _call(module, node, _aten.reshape.default, source, [shape[0], groups, size])
        value = _call(module, node, _aten.layer_norm.default, value, [size], None, None, epsilon)
        value = _call(module, node, _aten.reshape.default, value, list(shape))
        for parameter, target in ((scale, _aten.mul.Tensor), (shift, _aten.add.Tensor)):
            if parameter is not None:
                spread = get_tensor(module, parameter).reshape(1, -1, *[1] * (len(shape) - 2))
                name = f"{parameter.target}_spread"
                operand = new_tensor(module, name, spread, parameter=False)
                value = _call(module, node, target, value, operand)
    node.replace_all_uses_with(value)
    module.graph.erase_node(node)


def _with_rank(module: torch.fx.GraphModule, node: Node, rank: int) -> Node:
    if node.op != "get_attr":
        return node
    tensor = get_tensor(module, node).detach()
    wide = tensor.reshape((1,) * (rank - tensor.dim()) + tuple(tensor.shape))
    return new_tensor(module, f"{node.target}_wide", wide, parameter=False)


def _crop_transposed(module: torch.fx.GraphModule, node: Node) -> None:
    """Write the padding of a transposed convolution as a crop of the unpadded one.

    Why: the converter handles only padding that TRANSPOSE_CONV can express (none, or stride and
    kernel that make it symmetric); the rest fails to legalize.
    """
    if node.target is not _aten.conv_transpose2d.input:
        return
    source, weight = (_node(argument) for argument in node.args[:2])
    bias, *rest = node.args[2:] or (None,)
    defaults = ([1, 1], [0, 0], [0, 0], 1, [1, 1])
    values: list[Any] = [*rest, *defaults[len(rest) :]]
    groups = values.pop(3)
    stride, padding, extra, dilation = (_pair(value) for value in values)
    kernel = _shape(weight)[2:]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    expressible = all(
        2 * pad == span - step for pad, span, step in zip(padding, spans, stride, strict=True)
    )
    beyond = any(more > pad for more, pad in zip(extra, padding, strict=True))
    if not any(padding) or (expressible and not any(extra)) or beyond:
        return
    with module.graph.inserting_before(node):
        value = _call(
            module,
            node,
            node.target,
            source,
            weight,
            bias,
            stride,
            [0, 0],
            [0, 0],
            groups,
            dilation,
        )
        for axis, (pad, size) in enumerate(zip(padding, _shape(node)[2:], strict=True)):
            value = _call(module, node, _aten.slice.Tensor, value, 2 + axis, pad, pad + size)
    node.replace_all_uses_with(value)
    module.graph.erase_node(node)


def _repeat_edges(module: torch.fx.GraphModule, node: Node) -> None:
    """Write the padding of a max pool as copies of the first and last rows and columns.

    Why: the converter pads with minus infinity, which has no place in a range of integers. Every
    window that reaches beyond an edge holds the edge too, unless it is dilated, so that copies of
    the edge change no maximum.
    """
    if node.target is not _aten.max_pool2d.default:
        return
    source, size, stride = node.args[:3]
    defaults: tuple[Any, ...] = ([0, 0], [1, 1], False)
    padding, dilation, ceil_mode = node.args[3:] + defaults[len(node.args) - 3 :]
    if not (any(_pair(padding)) or ceil_mode) or any(step > 1 for step in _pair(dilation)):
        return
    kernel, steps, before = _pair(size), _pair(stride), _pair(padding)
    with module.graph.inserting_before(node):
        value = _node(source)
        for axis, length in enumerate(_shape(value)[-2:]):
            place, reach = axis - 2, (_shape(node)[axis - 2] - 1) * steps[axis] + kernel[axis]
            behind = max(0, reach - before[axis] - length)
            if not before[axis] + behind:
                continue
            first = _call(module, node, _aten.slice.Tensor, value, place, 0, 1)
            last = _call(module, node, _aten.slice.Tensor, value, place, length - 1, length)
            parts = [first] * before[axis] + [value] + [last] * behind
            value = _call(module, node, _aten.cat.default, parts, place)
    node.args = (value, size, stride)


_REWRITES: tuple[Callable[[torch.fx.GraphModule, Node], None], ...] = (
    _gather_nearest,
    _keep_norm_apart,
    _write_out_group_norm,  # behind the one above, which looks at layer norms
    _crop_transposed,
    _repeat_edges,
)


def _call(module: torch.fx.GraphModule, origin: Node, target: Any, *args: Any) -> Node:
    """Add a call that the converter names after the same module as the one it stands for."""
    node = module.graph.call_function(target, args)
    node.meta = {key: origin.meta[key] for key in ("nn_module_stack",) if key in origin.meta}
    return node


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _node(value: object) -> Node:
    if not isinstance(value, Node):
        raise TypeError(f"{value!r} is not a node")
    return value


def _pair(value: Any) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
