"""Move permutes to where they cancel each other, or are few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch.fx.node import Node, map_arg

from mobilesdk.graph.axis_rules import Order, combined, inverse, moves_only_ones, written
from mobilesdk.graph.layers import CONVOLUTIONS
from mobilesdk.graph.rewriting import (
    constant_value,
    get_tensor,
    is_constant,
    new_tensor,
    set_tensor,
)
from mobilesdk.graph.symbols import is_static

_aten = torch.ops.aten
_PERMUTE = _aten.permute.default
_RESHAPES = (_aten.view.default, _aten.reshape.default)


def move_permutes(module: torch.fx.GraphModule) -> None:
    """Compute in the order of axes that convolutions have, as far as that saves permutes.

    Why: Keras keeps images as ``NHWC`` and wraps each convolution and pool into two permutes. They
    keep biases, norms and activations from being fused with the convolution, and each is a copy on
    a phone. Ops that treat all axes alike, or name the axes they work on, can work in any order.

    A set of such ops is changed only if that leaves fewer permutes, or as many, and what a
    convolution gives reaches the ops behind it without one.
    """
    _merge(module)
    orders = {_order(node) for node in _permutes(module)}
    for order in sorted(orders):
        for region in _regions(module, order):
            if _is_worth_it(region, order):
                _reorder(module, region, order)
        module.graph.eliminate_dead_code()
        _merge(module)


def _regions(module: torch.fx.GraphModule, order: Order) -> list[set[Node]]:
    """Find the connected sets of ops that can take all their operands reordered."""
    members = {node for node in module.graph.nodes if _can_be_written(node, order)}
    while unfit := {n for n in members if not all(_fits(o, members, order) for o in _operands(n))}:
        members -= unfit
    regions: list[set[Node]] = []
    for node in (node for node in module.graph.nodes if node in members):
        near = [region for region in regions if not region.isdisjoint(_operands(node))]
        regions = [region for region in regions if region not in near]
        regions.append({node}.union(*near))
    return regions


def _can_be_written(node: Node, order: Order) -> bool:
    if node.op != "call_function" or node.target is _PERMUTE:
        return False
    ranks = {_rank(operand) for operand in _operands(node) if not is_constant(operand)}
    return ranks == {len(order)} and written(node, order) is not None


def _fits(operand: Node, members: set[Node], order: Order) -> bool:
    if operand in members:
        rule = written(operand, order)
        return rule is not None and rule.is_reordered
    return is_constant(operand) or _is_permute(operand, order) or _is_free(operand, order)


def _is_free(operand: Node, order: Order) -> bool:
    """Tell whether reordering an operand costs nothing."""
    value = operand.meta["val"]
    return is_static(value) and moves_only_ones(value.shape, inverse(order))


def _is_worth_it(region: set[Node], order: Order) -> bool:
    feeds = {o for node in region for o in _operands(node) if _is_permute(o, order)}
    saved = sum(region.issuperset(feed.users) for feed in feeds)
    needed = 0
    for node in region:
        others = [] if _ends(node, order) else [u for u in node.users if u not in region]
        saved += sum(_is_permute(user, inverse(order)) for user in others)
        needed += any(user.target is not _PERMUTE for user in others)
    follows = any(_is_convolution(feed.args[0]) for feed in feeds)
    return bool(feeds) and (saved > needed or (saved == needed and follows))


def _reorder(module: torch.fx.GraphModule, region: set[Node], order: Order) -> None:
    made: dict[Node, Node] = {}
    for node in [node for node in module.graph.nodes if node in region]:
        rule = written(node, order)
        if rule is None:
            raise RuntimeError(f"{node} was found to have a rule, and has none")
        with module.graph.inserting_before(node):
            arguments = map_arg(
                rule.arguments, lambda operand: _reordered(module, operand, made, order)
            )
            made[node] = module.graph.call_function(node.target, arguments, node.kwargs)
            made[node].meta.update(node.meta)
            if not rule.is_reordered:
                node.replace_all_uses_with(made[node])
                continue
            made[node].meta["val"] = node.meta["val"].permute(inverse(order))
            back = _permuted(module, made[node], order)
        for user in [user for user in node.users if user not in region]:
            user.replace_input_with(node, back)


def _reordered(
    module: torch.fx.GraphModule, operand: Node, made: dict[Node, Node], order: Order
) -> Node:
    """Give an operand with its axes in the other order, at the insertion point of the graph."""
    if operand in made:
        return made[operand]
    if _is_permute(operand, order):
        return cast("Node", operand.args[0])
    if not is_constant(operand):
        shape = list(operand.meta["val"].permute(inverse(order)).shape)
        return _reshaped(module, operand, shape)
    return _reordered_constant(module, operand, order)


def _reordered_constant(module: torch.fx.GraphModule, operand: Node, order: Order) -> Node:
    value = constant_value(module, operand)
    if value.numel() == 1:
        return operand
    whole = value.reshape([1] * (len(order) - value.dim()) + list(value.shape))
    moved = whole.permute(inverse(order)).contiguous()
    source, is_alone = operand, len(operand.users) == 1
    while source.op != "get_attr":
        source = source.all_input_nodes[0]
        is_alone = is_alone and len(source.users) == 1
    if is_alone:
        set_tensor(module, source, moved)
        return source
    parameter = isinstance(get_tensor(module, source), torch.nn.Parameter)
    return new_tensor(module, str(source.target), moved, parameter=parameter)


def _merge(module: torch.fx.GraphModule) -> None:
    """Make one of permutes behind each other; none of what is none, or part of a reshape."""
    for node in _permutes(module):
        source: Any = node.args[0]
        if source.target is _PERMUTE:
            node.args = (source.args[0], list(combined(_order(source), _order(node))))
            source = node.args[0]
        if _order(node) == tuple(range(_rank(node))):
            node.replace_all_uses_with(source)
        elif moves_only_ones(source.meta["val"].shape, _order(node)):
            _merge_into_reshapes(module, node, source)
    module.graph.eliminate_dead_code()


def _merge_into_reshapes(module: torch.fx.GraphModule, node: Node, source: Node) -> None:
    if source.target in _RESHAPES and is_static(node.meta["val"]):
        with module.graph.inserting_before(node):
            reshaped = _reshaped(module, source.all_input_nodes[0], list(node.meta["val"].shape))
        node.replace_all_uses_with(reshaped)
        return
    for user in [user for user in node.users if user.target in _RESHAPES]:
        user.replace_input_with(node, source)


def _reshaped(module: torch.fx.GraphModule, source: Node, shape: list[int]) -> Node:
    reshaped = module.graph.call_function(_aten.reshape.default, (source, shape))
    reshaped.meta.update(source.meta)
    reshaped.meta["val"] = source.meta["val"].reshape(shape)
    return reshaped


def _permuted(module: torch.fx.GraphModule, source: Node, order: Order) -> Node:
    permuted = module.graph.call_function(_PERMUTE, (source, list(order)))
    permuted.meta.update(source.meta)
    permuted.meta["val"] = source.meta["val"].permute(order)
    return permuted


def _permutes(module: torch.fx.GraphModule) -> list[Node]:
    """Give the permutes of values that are no constants; these keep theirs."""
    found = module.graph.find_nodes(op="call_function", target=_PERMUTE)
    return [node for node in found if not is_constant(node)]


def _order(node: Node) -> Order:
    axes = cast("Iterable[int]", node.args[1])
    return tuple(axis % _rank(node) for axis in axes)


def _is_permute(node: Node, order: Order) -> bool:
    return node.target is _PERMUTE and _rank(node) == len(order) and _order(node) == order


def _ends(node: Node, order: Order) -> bool:
    rule = written(node, order)
    return rule is not None and not rule.is_reordered


def _is_convolution(node: object) -> bool:
    return isinstance(node, Node) and getattr(node.target, "overloadpacket", None) in CONVOLUTIONS


def _operands(node: Node) -> Iterator[Node]:
    yield from node.all_input_nodes


def _rank(node: Node) -> int:
    value = node.meta.get("val")
    return int(value.dim()) if isinstance(value, torch.Tensor) else -1
