"""Small rewrites of a functional graph, each one against a known fault of a converter."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx.node import Node

from mobilesdk.graph.symbols import broadcast_shape, same_shape

_aten = torch.ops.aten

_IDENTITIES = frozenset(
    {
        _aten.alias.default,
        _aten.clone.default,
        _aten.contiguous.default,
        _aten.detach.default,
        _aten.lift_fresh_copy.default,
        _aten.lift_fresh.default,
    }
)
_DROPOUTS = frozenset({_aten.dropout.default, _aten.feature_dropout.default})
_SHAPE_OPS = frozenset(
    {
        _aten.view.default,
        _aten.reshape.default,
        _aten._unsafe_view.default,
        _aten.expand.default,
        _aten.slice.Tensor,
    }
)
_CASTS = frozenset({_aten._to_copy.default, _aten.to.dtype})
_MAX_POOLS = frozenset(
    {_aten.max_pool1d.default, _aten.max_pool2d.default, _aten.max_pool3d.default}
)
_BROADCASTING = frozenset(
    {
        _aten.add.Tensor,
        _aten.sub.Tensor,
        _aten.mul.Tensor,
        _aten.div.Tensor,
        _aten.maximum.default,
        _aten.minimum.default,
    }
)
_PLAIN_NAMES = {
    _aten.subtract.Tensor: _aten.sub.Tensor,
    _aten.multiply.Tensor: _aten.mul.Tensor,
    _aten.divide.Tensor: _aten.div.Tensor,
    _aten.absolute.default: _aten.abs.default,
}


def remove_assertions(module: torch.fx.GraphModule) -> None:
    """Remove the assertions on shape and dtype that exporting a cast leaves behind.

    Why: they hold wherever the program was exported for, and no converter knows them.
    """
    target = _aten._assert_tensor_metadata.default
    for node in module.graph.find_nodes(op="call_function", target=target):
        module.graph.erase_node(node)


def remove_no_ops(module: torch.fx.GraphModule) -> None:
    """Remove dropout, copies, aliases, and casts, slices, pads and views that change nothing.

    Why: coremltools refuses ``alias``; ExecuTorch writes files with copies of channels-last tensors
    that it then cannot run, refuses to load int8 pads by zero, and splits its delegates at every
    copy. A result that is an input, a weight or another result stays a copy of it.
    """
    for node in list(module.graph.nodes):
        if node.op == "call_function" and _changes_nothing(node) and not _separates_result(node):
            node.replace_all_uses_with(node.all_input_nodes[0])
            module.graph.erase_node(node)


def _changes_nothing(node: Node) -> bool:
    if node.target in _IDENTITIES:
        return True
    if node.target in _DROPOUTS:
        return node.args[2] is False
    if node.target in (_aten.pad.default, _aten.constant_pad_nd.default):
        return not any(node.args[1])
    if node.target not in _SHAPE_OPS | _CASTS:
        return False
    before, after = node.all_input_nodes[0].meta["val"], node.meta["val"]
    return before.dtype == after.dtype and same_shape(before.shape, after.shape)


def remove_expansions(module: torch.fx.GraphModule) -> None:
    """Let an op that stretches its operands by itself take an expanded operand as it was.

    Why: ``normalize`` and ``expand_as`` expand what they divide or multiply by. XNNPACK leaves the
    expansion outside its delegates, and litert-torch then refuses some of these products.
    """
    for node in module.graph.find_nodes(op="call_function", target=_aten.expand.default):
        source = node.args[0]
        for user in list(node.users):
            if user.target in _BROADCASTING and _stretches(user, node, source):
                user.replace_input_with(node, source)
    module.graph.eliminate_dead_code()


def _stretches(user: Node, expanded: Node, source: Node) -> bool:
    """Tell whether an op gives the same shape with an operand that is not expanded."""
    operands = [source if operand is expanded else operand for operand in user.args[:2]]
    shapes = [value.meta["val"].shape for value in operands if isinstance(value, Node)]
    found = broadcast_shape(*shapes)
    return found is not None and same_shape(found, user.meta["val"].shape)


def _separates_result(node: Node) -> bool:
    """Tell whether a result would without this node be an input, a weight or another result."""
    source = node.all_input_nodes[0]
    is_result = any(user.op == "output" for user in node.users)
    source_is_result = any(user.op == "output" for user in source.users)
    return is_result and (source.op in ("placeholder", "get_attr") or source_is_result)


def free_shapes(module: torch.fx.GraphModule) -> None:
    """Write ``reshape`` for ``view``, which demands a memory order that removed copies gave.

    Why: exporting again puts a copy exactly where one is needed.
    """
    for target in (_aten.view.default, _aten._unsafe_view.default):
        for node in module.graph.find_nodes(op="call_function", target=target):
            node.target = _aten.reshape.default


def name_relu6(module: torch.fx.GraphModule) -> None:
    """Write every clamp to 0…6 as ``hardtanh(x, 0, 6)``.

    Why: ``ReLU6``, ``relu6`` and ``clamp`` export as three ops, and quantizers fuse at most one of
    them with the convolution before; the others are given their own, far too wide range.
    """
    for node in list(module.graph.nodes):
        if _is_relu6(node):
            node.target = _aten.hardtanh.default
            node.args = (node.args[0], 0.0, 6.0)
            node.kwargs = {}


def _is_relu6(node: Node) -> bool:
    if node.target is _aten.relu6.default:
        return True
    if node.target not in (_aten.clamp.default, _aten.hardtanh.default):
        return False
    names = ("min", "max") if node.target is _aten.clamp.default else ("min_val", "max_val")
    limits = _arguments(node, names)
    return limits == (0, 6)


def _arguments(node: Node, names: tuple[str, str]) -> tuple[Any, ...]:
    """Give the two arguments after the first, however they were passed."""
    given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    return tuple(given.get(name) for name in names)


def give_pools_a_stride(module: torch.fx.GraphModule) -> None:
    """Write the stride of every max pool that leaves it to the kernel size.

    Why: coremltools refuses a ``max_pool2d`` with two arguments.
    """
    for target in _MAX_POOLS:
        for node in module.graph.find_nodes(op="call_function", target=target):
            if len(node.args) < 3 or not node.args[2]:
                node.args = (*node.args[:2], list(node.args[1]), *node.args[3:])


def use_plain_names(module: torch.fx.GraphModule) -> None:
    """Write ``sub`` for ``subtract``, ``mul`` for ``multiply``, and the like.

    Why: coremltools knows only the short name of each op that has two.
    """
    for target, plain in _PLAIN_NAMES.items():
        for node in module.graph.find_nodes(op="call_function", target=target):
            node.target = plain
