"""Store each weight in the order of axes in which its layer takes it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx.node import Node

from mobilesdk.graph.rewriting import constant_value, set_tensor
from mobilesdk.graph.roles import VIEWS, is_taken_as_weight


def store_weights_as_taken(module: torch.fx.GraphModule) -> None:
    """Replace the views through which layers take a weight by the weight in that order.

    Why: Keras stores kernels as ``[height, width, in, out]`` and reorders them in every call, while
    everything that works per output channel, compressors and converters alike, takes the first
    axis of a weight for it.
    """
    for weight in list(module.graph.find_nodes(op="get_attr")):
        ends = list(_ends(weight))
        if weight in ends or not all(map(_is_only_a_weight, ends)):
            continue
        first, *others = (constant_value(module, end) for end in ends)
        if not all(first.shape == other.shape and torch.equal(first, other) for other in others):
            continue
        set_tensor(module, weight, first.contiguous())
        for end in ends:
            end.replace_all_uses_with(weight)
    module.graph.eliminate_dead_code()


def _ends(node: Node) -> Iterator[Node]:
    """Give each view of a weight, or the weight itself, that something else than a view takes."""
    views = [user for user in node.users if user.target in VIEWS]
    if len(views) < len(node.users):
        yield node
    for view in views:
        yield from _ends(view)


def _is_only_a_weight(node: Node) -> bool:
    return all(is_taken_as_weight(user, node) for user in node.users)
