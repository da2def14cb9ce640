"""Write a product with a weight as the linear layer that it is."""

from __future__ import annotations

from typing import cast

import torch
from torch.fx.node import Node

from mobilesdk.graph.rewriting import get_tensor, set_tensor

_aten = torch.ops.aten
_PRODUCTS = (_aten.mm.default, _aten.matmul.default)


def write_linear(module: torch.fx.GraphModule) -> None:
    """Write ``x @ weight`` and ``addmm`` as ``linear``, with the weight transposed once.

    Why: such a weight (GPT-2's ``Conv1D``) lies as ``[in, out]``, while everything that works per
    output channel, compressors and converters alike, takes the first axis of a weight for it.
    """
    for weight in list(module.graph.find_nodes(op="get_attr")):
        if weight.users and all(_takes_as_weight(user, weight) for user in weight.users):
            set_tensor(module, weight, get_tensor(module, weight).t().contiguous())
            for product in list(weight.users):
                _rewrite(module, product, weight)


def _takes_as_weight(user: Node, weight: Node) -> bool:
    """Tell whether an op multiplies something else by a weight of two axes, from the right."""
    value = weight.meta.get("val")
    if not isinstance(value, torch.Tensor) or value.dim() != 2 or not value.is_floating_point():
        return False
    if user.target in _PRODUCTS:
        data, right = user.args
        return right is weight and data is not weight
    if user.target is _aten.addmm.default and not user.kwargs and len(user.args) == 3:
        bias, data, right = user.args
        is_vector = cast("Node", bias).meta["val"].dim() == 1
        return right is weight and data is not weight and bias is not weight and is_vector
    return False


def _rewrite(module: torch.fx.GraphModule, product: Node, weight: Node) -> None:
    bias, data = (None, product.args[0]) if product.target in _PRODUCTS else product.args[:2]
    with module.graph.inserting_before(product):
        linear = module.graph.call_function(_aten.linear.default, (data, weight, bias))
    linear.meta.update(product.meta)
    product.replace_all_uses_with(linear)
    module.graph.erase_node(product)
