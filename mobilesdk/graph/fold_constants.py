"""Compute at build time what does not depend on the inputs."""

from __future__ import annotations

import operator
import re
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import Node, map_arg

from mobilesdk.graph.rewriting import get_tensor, new_tensor
from mobilesdk.graph.roles import VIEWS
from mobilesdk.graph.symbols import is_static

_aten = torch.ops.aten

_LARGEST_ELEMENTS = 1 << 16  # a constant may become this large even if nothing it is made of is

# Ops whose value depends only on the shape of what they take, if that is static.
_SHAPE_ONLY = frozenset(
    {
        _aten.new_ones.default,
        _aten.new_zeros.default,
        _aten.new_full.default,
        _aten.new_empty.default,
        _aten.ones_like.default,
        _aten.zeros_like.default,
        _aten.full_like.default,
    }
)
_PARAMETRIZATION = re.compile(r"parametrizations\.(\w+)\.original\d*$")


def fold_constants(module: torch.fx.GraphModule) -> None:
    """Replace every largest part of the graph that no input reaches by its value.

    Why: coremltools refuses the ``new_ones`` of attention masks; position ids and embeddings are
    looked up at run time by all three converters; and a weight that is computed (weight norm,
    standardization) cannot be quantized. A folded weight is named after the parameter it is made
    of (``conv.weight`` for a parametrized one).

    Plain views of a weight stay, so that the weight stays what it was. Values that would be larger
    than what they are made of, and than 65 536 elements, stay computed.
    """
    values: dict[Node, Tensor] = {}
    for node in list(module.graph.nodes):
        value = _value(module, node, values)
        if value is not None:
            values[node] = value
    for node in list(values):
        if _is_worth_folding(node) and any(user not in values for user in node.users):
            _replace(module, node, values[node])
    module.graph.eliminate_dead_code()


def _value(module: torch.fx.GraphModule, node: Node, values: dict[Node, Tensor]) -> Any:
    """Compute a node if no input reaches it and it is not too large; else give ``None``."""
    if node.op == "get_attr":
        return get_tensor(module, node)
    if node.op != "call_function" or not _is_pure(node):
        return None
    if node.target in _SHAPE_ONLY:
        source, *sizes = node.all_input_nodes
        if sizes or not is_static(node.meta["val"]):
            return None
        like = source.meta["val"]
        shape = like.shape if is_static(like) else ()  # then only its dtype is taken
        known = {source: torch.empty(shape, dtype=like.dtype)}
    elif all(source in values for source in node.all_input_nodes):
        known = values
    else:
        return None
    if _elements(node) > max([_LARGEST_ELEMENTS, *map(_elements, node.all_input_nodes)]):
        return None
    return node.target(*map_arg(node.args, known.get), **map_arg(node.kwargs, known.get))


def _is_pure(node: Node) -> bool:
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    random = torch.Tag.nondeterministic_seeded in node.target.tags
    return not random and not node.target._schema.is_mutable


def _elements(node: Node) -> int:
    value = node.meta.get("val")
    if not is_static(value):
        return 0
    if isinstance(value, (tuple, list)):
        return sum(part.numel() for part in value if isinstance(part, Tensor))
    return value.numel() if isinstance(value, Tensor) else 0


def _is_worth_folding(node: Node) -> bool:
    """Tell whether a node is more than a weight, or a view of one."""
    while node.target in VIEWS:
        node = node.all_input_nodes[0]
    return node.op != "get_attr" and isinstance(node.meta.get("val"), Tensor)


def _replace(module: torch.fx.GraphModule, node: Node, value: Tensor) -> None:
    """Put a parameter in the place of a value that parameters are in, else a buffer."""
    parameters = [
        source
        for source in _ancestors(node)
        if source.op == "get_attr" and isinstance(get_tensor(module, source), torch.nn.Parameter)
    ]
    name = f"constants.{node.name}"
    if parameters:
        name = _PARAMETRIZATION.sub(r"\1", str(max(parameters, key=_elements).target))
    with module.graph.inserting_before(node):
        constant = new_tensor(module, name, value.clone(), parameter=bool(parameters))
    node.replace_all_uses_with(constant)


def _ancestors(node: Node) -> list[Node]:
    found: dict[Node, None] = {}
    pending = list(node.all_input_nodes)
    while pending:
        source = pending.pop(0)
        if source not in found:
            found[source] = None
            pending.extend(source.all_input_nodes)
    return list(found)
