"""Dynamic int8 for XNNPACK: integer weights, activations rounded at run time, per row."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import torch
from torch.fx import Node

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.lowering.xnnpack.weights import (
    StoredWeight,
    attribute,
    dequantize_node,
    insert_weight,
    round_weight,
)

_aten = torch.ops.aten
_decomposed = torch.ops.quantized_decomposed
_SMALLEST_SCALE = float(torch.finfo(torch.float32).eps)


def quantize_dynamic(
    module: torch.fx.GraphModule, weights: Mapping[str, WeightScheme]
) -> dict[str, StoredWeight]:
    """Store weights of matrix products and convolutions as integers, in place.

    The inputs of such an op are rounded to int8 at run time, with a range found for each row of the
    input (each image, for a convolution). Everything else stays float32.

    Args:
        module: A flat program as a module; changed.
        weights: Name → scheme of each weight to be stored as integers.

    Returns:
        What is stored, by name.
    """
    stored = {}
    for node in list(module.graph.nodes):
        if node.target not in (_aten.linear.default, _aten.conv2d.default):
            continue
        name = str(node.args[1].target)
        if name not in weights:
            continue
        weight = round_weight(attribute(module, name), weights[name], axis=0)
        with module.graph.inserting_before(node):
            node.update_arg(1, dequantize_node(module.graph, name, weight))
            node.update_arg(0, _rounded(node.args[0]))
        stored[name] = StoredWeight(weight.decoded(), weights[name])
    module.graph.lint()
    module.recompile()
    return stored


def quantize_embeddings(
    module: torch.fx.GraphModule, weights: Mapping[str, WeightScheme]
) -> dict[str, StoredWeight]:
    """Store tables of embeddings as 8-bit integers, with a scale for each row, in place.

    Args:
        module: A flat program as a module; changed.
        weights: Name → scheme of each weight to be stored as integers.

    Returns:
        What is stored, by name.
    """
    stored = {}
    for node in module.graph.find_nodes(op="call_function", target=_aten.embedding.default):
        name = str(node.args[0].target)
        if name not in weights:
            continue
        weight = round_weight(attribute(module, name), weights[name], axis=0)
        with module.graph.inserting_before(node):
            values, scales = insert_weight(module.graph, name, weight)
            looked_up = module.graph.call_function(
                _decomposed.embedding_byte.default, (values, scales, None, -128, 127, node.args[1])
            )
        looked_up.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(looked_up)
        module.graph.erase_node(node)
        stored[name] = StoredWeight(weight.decoded(), weights[name])
    module.recompile()
    return stored


def _rounded(value: Node) -> Node:
    """Insert the chain that rounds a value to int8 at run time and turns it back to float32."""
    graph = value.graph
    numbers = graph.call_function(
        _decomposed.choose_qparams.tensor, (value, -128, 127, _SMALLEST_SCALE, torch.int8)
    )
    scale = graph.call_function(operator.getitem, (numbers, 0))
    zero_point = graph.call_function(operator.getitem, (numbers, 1))
    grid = (scale, zero_point, -128, 127, torch.int8)
    integers = graph.call_function(_decomposed.quantize_per_tensor.tensor, (value, *grid))
    return graph.call_function(_decomposed.dequantize_per_tensor.tensor, (integers, *grid))
