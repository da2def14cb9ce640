"""Write an einsum with a weight as the linear layer that it is."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.fx.node import Node

from mobilesdk.graph.fold_channels import give_bias, value_and_constant
from mobilesdk.graph.rewriting import get_tensor, is_constant, set_tensor
from mobilesdk.graph.symbols import varying_axes

_aten = torch.ops.aten


def write_einsums(module: torch.fx.GraphModule) -> None:
    """Write ``einsum("abc,cde->abde", x, weight)`` as ``linear`` and a reshape.

    Why: the projections of Keras's attention are such products, whose weights are otherwise those
    of no layer, so that no method compresses them. Written so are einsums whose weight begins with
    the axes that they sum over, which are the last ones of the other operand.
    """
    for node in list(module.graph.find_nodes(op="call_function", target=_aten.einsum.default)):
        count = _summed_axes(node)
        if count:
            _rewrite(module, node, count)
    module.graph.eliminate_dead_code()


def _summed_axes(node: Node) -> int:
    """Give how many axes a product sums over; 0 if it is no linear layer."""
    equation, operands = str(node.args[0]).replace(" ", ""), node.args[1]
    if not isinstance(operands, list | tuple) or len(operands) != 2 or "." in equation:
        return 0
    data, weight = operands
    if weight.op != "get_attr" or len(weight.users) != 1 or is_constant(data):
        return 0
    if len(varying_axes(data)) > 1:  # a reshape leaves one size open
        return 0
    taken, _, result = equation.partition("->")
    first, _, second = taken.partition(",")
    summed = "".join(axis for axis in second if axis in first)
    fits = second.startswith(summed) and first.endswith(summed)
    is_layer = bool(summed) and summed != second and len(set(first)) == len(first)
    if not (fits and is_layer and result == first.removesuffix(summed) + second[len(summed) :]):
        return 0
    return len(summed)


def _rewrite(module: torch.fx.GraphModule, node: Node, count: int) -> None:
    operands: Any = node.args[1]
    data, weight = operands
    value = get_tensor(module, weight)
    inner, outer = prod(value.shape[:count]), tuple(value.shape[count:])
    set_tensor(module, weight, value.reshape(inner, -1).t().contiguous())
    lead = list(data.meta["val"].shape[:-count])
    known = [size if isinstance(size, int) else -1 for size in lead]
    add, bias = _bias_behind(node, outer)
    with module.graph.inserting_before(node):
        if count > 1:
            data = _made(module, _aten.reshape.default, data, [*known, inner], like=data)
            data.meta["val"] = operands[0].meta["val"].reshape([*lead, inner])
        linear = _made(module, _aten.linear.default, data, weight, like=node)
        linear.meta["val"] = node.meta["val"].reshape([*lead, prod(outer)])
        shape = [*known, *outer]
        last = linear
        if len(outer) > 1:
            last = _made(module, _aten.reshape.default, linear, shape, like=node)
    node.replace_all_uses_with(last)
    if add is not None:
        add.replace_all_uses_with(last)
        module.graph.erase_node(add)
        give_bias(module, linear, bias)


def _bias_behind(node: Node, outer: tuple[int, ...]) -> tuple[Node | None, Any]:
    """Give the sum with a number for each output, if nothing else takes the product."""
    users = list(node.users)
    if len(users) == 1 and users[0].target is _aten.add.Tensor:
        value, constant = value_and_constant(users[0])
        if value is node and tuple(constant.meta["val"].shape) == outer:
            return users[0], constant
    return None, None


def _made(module: torch.fx.GraphModule, op: Any, *arguments: Any, like: Node) -> Node:
    made = module.graph.call_function(op, arguments)
    made.meta.update(like.meta)
    return made
