"""Fold sums and norms that a model writes out, channel by channel, into the layer before them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Node

from mobilesdk.graph.fold_norms import can_take_in, scale_and_shift_channels
from mobilesdk.graph.layers import argument, layer_of
from mobilesdk.graph.rewriting import (
    constant_value,
    drop_constant,
    get_tensor,
    is_constant,
    new_tensor,
)

_aten = torch.ops.aten
_BIAS = 2
_ADD, _SUB, _MUL = _aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor


def fold_biases(module: torch.fx.GraphModule) -> None:
    """Let a layer add the constant that is added to each of its output channels.

    Why: Keras adds biases by an op of their own, which no quantizer fuses with the layer, and which
    keeps the activation behind it from being fused.
    """
    for add in list(module.graph.find_nodes(op="call_function", target=_ADD)):
        layer, constant = value_and_constant(add)
        place = None if layer is None else layer_of(layer)
        if place is None or place.bias != _BIAS or list(layer.users) != [add]:
            continue
        value = constant_value(module, constant)
        has_bias = argument(layer, _BIAS) is not None
        if not _is_per_channel(layer, value) or (has_bias and not can_take_in(layer, add)):
            continue
        add.replace_all_uses_with(layer)
        module.graph.erase_node(add)
        if has_bias:
            shift = value.double().flatten()
            scale_and_shift_channels(module, layer, torch.ones_like(shift), shift)
        else:
            give_bias(module, layer, constant)
    module.graph.eliminate_dead_code()


def give_bias(module: torch.fx.GraphModule, layer: Node, constant: Node) -> None:
    """Let a layer without a bias take a constant, which others may take as well.

    Args:
        module: Changed in place.
        layer: A convolution or linear layer.
        constant: Holds a number for each output channel, in any shape.
    """
    bias, value = _source(constant), constant_value(module, constant).flatten()
    own = get_tensor(module, bias)
    if own.dim() == 1:
        if layer < bias:
            layer.prepend(bias)
    else:
        drop_constant(module, constant)  # its name becomes free
        parameter = isinstance(own, torch.nn.Parameter)
        with module.graph.inserting_before(layer):
            bias = new_tensor(module, str(bias.target), value, parameter=parameter)
    arguments = [*layer.args, *[None] * (_BIAS + 1 - len(layer.args))]
    arguments[_BIAS] = bias
    layer.args = tuple(arguments)


def fold_written_norms(module: torch.fx.GraphModule) -> None:
    """Fold ``(x - mean) * scale + shift`` into the layer before it; else make two ops of three.

    Why: Keras's batch norms are these three ops, or two in TensorFlow's graphs, which give the mean
    to the shift. What `fold_batch_norms` says holds for them.
    """
    for sub in list(module.graph.find_nodes(op="call_function", target=_SUB)):
        norm = _norm(sub)
        if norm is not None:
            _fold_norm(module, *norm)
    for mul in list(module.graph.find_nodes(op="call_function", target=_MUL)):
        _fold_scale_and_shift(module, mul)
    module.graph.eliminate_dead_code()


def _fold_scale_and_shift(module: torch.fx.GraphModule, mul: Node) -> None:
    """Fold ``x * scale + shift`` into the layer before it, if that can take it in."""
    layer, scale = value_and_constant(mul)
    add = _only_user(mul, _ADD)
    shift = None if add is None else value_and_constant(add)[1]
    if layer is None or add is None or shift is None or not can_take_in(layer, mul):
        return
    factors, offsets = constant_value(module, scale), constant_value(module, shift)
    if _is_per_channel(layer, factors) and _is_per_channel(layer, offsets):
        scale_and_shift_channels(
            module, layer, factors.double().flatten(), offsets.double().flatten()
        )
        add.replace_all_uses_with(layer)


def _norm(sub: Node) -> tuple[Node, Node, Node] | None:
    """Give the three ops of a norm that begins with a subtraction; their constants are alike."""
    if not _is_plain(sub) or is_constant(sub.args[0]) or not is_constant(sub.args[1]):
        return None
    mul = _only_user(sub, _MUL)
    add = None if mul is None else _only_user(mul, _ADD)
    if (
        mul is None
        or add is None
        or (None, None)
        in (
            value_and_constant(mul),
            value_and_constant(add),
        )
    ):
        return None
    constants = (sub.args[1], value_and_constant(mul)[1], value_and_constant(add)[1])
    shapes = {tuple(node.meta["val"].shape) for node in constants if isinstance(node, Node)}
    return (sub, mul, add) if len(shapes) == 1 and shapes != {()} else None


def _fold_norm(module: torch.fx.GraphModule, sub: Node, mul: Node, add: Node) -> None:
    layer: Any = sub.args[0]
    mean_node: Any = sub.args[1]
    mean = constant_value(module, mean_node)
    scale = constant_value(module, value_and_constant(mul)[1]).double()
    shift = constant_value(module, value_and_constant(add)[1]).double() - mean.double() * scale
    if can_take_in(layer, sub) and _is_per_channel(layer, mean):
        scale_and_shift_channels(module, layer, scale.flatten(), shift.flatten())
        add.replace_all_uses_with(layer)
        return
    name = str(_source(mean_node).target).rpartition(".")[0]
    result = layer
    with module.graph.inserting_before(sub):
        for op, part, numbers in ((_MUL, "scale", scale), (_ADD, "shift", shift)):
            constant = new_tensor(
                module, f"{name}.{part}".removeprefix("."), numbers.to(mean.dtype), parameter=False
            )
            result = module.graph.call_function(op, (result, constant))
            result.meta.update(add.meta)
    add.replace_all_uses_with(result)


def value_and_constant(node: Node) -> tuple[Any, Any]:
    """Give the two operands of a sum or product of a value and a constant, else nothing."""
    if _is_plain(node):
        first, second = node.args
        if is_constant(second) and not is_constant(first):
            return first, second
        if is_constant(first) and not is_constant(second):
            return second, first
    return None, None


def _is_plain(node: Node) -> bool:
    return not node.kwargs and len(node.args) == 2 and all(isinstance(a, Node) for a in node.args)


def _only_user(node: Node, target: Any) -> Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target is target else None


def _source(constant: Node) -> Node:
    """Give the constant that a view shows."""
    while constant.op != "get_attr":
        constant = constant.all_input_nodes[0]
    return constant


def _is_per_channel(layer: Node, value: Tensor) -> bool:
    place = layer_of(layer)
    if place is None:
        return False
    shape = layer.meta["val"].shape
    wanted = [1] * len(shape)
    wanted[place.channel_axis] = shape[place.channel_axis]
    return [1] * (len(shape) - value.dim()) + list(value.shape) == wanted
