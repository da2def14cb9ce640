"""Have a module compute in float16 between its inputs and outputs, which stay as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from mobilesdk.errors import ConversionFailed
from mobilesdk.lowering.coreai.attributes import attribute, set_attribute

_to = torch.ops.aten.to.dtype


def compute_in_half(module: GraphModule) -> None:
    """Convert constants and the types that operations name; put conversions at the borders.

    Args:
        module: A flat program in float32 whose nodes know what they give; changed in place.

    Raises:
        ConversionFailed: float16 cannot hold a constant.
    """
    for target in dict.fromkeys(node.target for node in module.graph.find_nodes(op="get_attr")):
        tensor = attribute(module, target)
        if tensor.dtype == torch.float32:
            set_attribute(module, target, _halved(target, tensor))
    for node in list(module.graph.nodes):
        if node.op == "placeholder" and _is_float32(node):
            _convert_input(module.graph, node)
        elif node.op == "call_function":
            node.args, node.kwargs = _with_half(node.args), _with_half(node.kwargs)
        elif node.op == "output":
            _convert_outputs(module.graph, node)
    module.recompile()


def _convert_input(graph: Graph, node: Node) -> None:
    with graph.inserting_after(node):
        converted = graph.call_function(_to)
    node.replace_all_uses_with(converted)
    converted.args = (node, torch.float16)


def _convert_outputs(graph: Graph, node: Node) -> None:
    with graph.inserting_before(node):
        given = tuple(
            graph.call_function(_to, (item, torch.float32)) if _is_float32(item) else item
            for item in node.args[0]
        )
    node.args = (given,)


def _is_float32(node: Any) -> bool:
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def _with_half(arguments: Any) -> Any:
    """Put float16 in the place of float32, wherever an operation names it."""
    if isinstance(arguments, dict):
        return {name: _with_half(value) for name, value in arguments.items()}
    if isinstance(arguments, tuple | list):
        return type(arguments)(_with_half(value) for value in arguments)
    return torch.float16 if arguments is torch.float32 else arguments


def _halved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.to(torch.float16)
    lost = int((tensor.isfinite() & ~half.isfinite()).sum())
    if lost:
        raise ConversionFailed(
            f"{name} holds {lost} numbers that float16 cannot hold.",
            hint='keep constants within 65504, or set compute_precision = "float32".',
        )
    return half
