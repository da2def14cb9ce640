"""Sum a program up for the planner."""

from __future__ import annotations

from collections import Counter
from math import prod

import torch
from torch.fx.node import Node

from mobilesdk.core.contract import Contract
from mobilesdk.core.model import ModelSummary, ModelWeight
from mobilesdk.graph.roles import VIEWS, weights

_aten = torch.ops.aten
_CONV_ROLES = ("conv", "depthwise", "conv_transpose")
_PRODUCTS = (
    _aten.matmul.default,
    _aten.bmm.default,
    _aten.mm.default,
    _aten.einsum.default,
)
FLOAT32_BYTES = 4


def summarize(program: torch.export.ExportedProgram, contract: Contract) -> ModelSummary:
    """Give the summary of a prepared program.

    Args:
        program: Prepared.
        contract: Of the model. A family that it states is taken; else it is seen from the ops.
    """
    found = weights(program)
    counts = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    tensors = {**program.state_dict, **program.constants}
    return ModelSummary(
        contract=contract,
        family=contract.family or _family(program, found),
        weights=found,
        op_counts=dict(sorted(counts.items())),
        float_size_bytes=FLOAT32_BYTES * sum(tensor.numel() for tensor in tensors.values()),
    )


def _family(program: torch.export.ExportedProgram, found: tuple[ModelWeight, ...]) -> str:
    """Tell which profile of a target applies.

    ``transformer``: it has attention, and convolutions hold less than half of its weights.
    ``vision``: any other network with convolutions. ``other``: the rest.
    """
    total = sum(prod(weight.shape) for weight in found)
    in_convs = sum(prod(weight.shape) for weight in found if weight.role in _CONV_ROLES)
    if 2 * in_convs < total and any(map(_is_attention, program.graph.nodes)):
        return "transformer"
    return "vision" if in_convs else "other"


def _is_attention(node: Node) -> bool:
    """Tell whether a node is attention: the fused op, or a softmax that a product takes."""
    if node.target is _aten.scaled_dot_product_attention.default:
        return True
    if node.target not in (_aten.softmax.int, _aten._softmax.default):
        return False
    return any(user.target in _PRODUCTS for user in _users_behind_views(node))


def _users_behind_views(node: Node) -> list[Node]:
    found = []
    for user in node.users:
        passes_on = user.target in VIEWS or user.target is _aten.expand.default
        found += _users_behind_views(user) if passes_on else [user]
    return found
