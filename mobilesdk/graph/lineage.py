"""Which values of a program come from which, seen through what only rearranges them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch.fx import Node

_aten = torch.ops.aten

_REARRANGING = frozenset(
    {
        _aten._unsafe_view,
        _aten.alias,
        _aten.clone,
        _aten.contiguous,
        _aten.detach,
        _aten.dropout,
        _aten.flatten,
        _aten.movedim,
        _aten.permute,
        _aten.reshape,
        _aten.squeeze,
        _aten.t,
        _aten.transpose,
        _aten.unsqueeze,
        _aten.view,
    }
)


class Lineage:
    """Where the values of a program come from.

    Args:
        graph: Of a flat program in evaluation mode.
    """

    def __init__(self, graph: torch.fx.Graph) -> None:
        self._graph = graph
        self._origins: dict[Node, Node] = {}
        first: dict[object, Node] = {}
        for node in graph.nodes:
            self._origins[node] = self._origin(node, first)

    def origin(self, node: Node) -> Node:
        """Give the first node that holds the same numbers, or is computed in the same way."""
        return self._origins[node]

    def sources(self, node: Node, recorded: Collection[Node]) -> list[Node]:
        """Give the nearest nodes among the recorded ones that a node is computed from."""
        found: dict[Node, None] = {}
        seen: set[Node] = set()
        pending = [*node.all_input_nodes]
        while pending:
            source = pending.pop()
            if source in recorded:
                found[source] = None
            elif source not in seen:
                seen.add(source)
                pending.extend(source.all_input_nodes)
        return list(found)

    def _origin(self, node: Node, first: dict[object, Node]) -> Node:
        if node.op != "call_function":
            return node
        if getattr(node.target, "overloadpacket", None) in _REARRANGING:
            return self._origins[node.all_input_nodes[0]]
        computation = repr((node.target, self._named(node.args), self._named(node.kwargs)))
        return first.setdefault(computation, node)

    def _named(self, arguments: Any) -> Any:
        return torch.fx.map_arg(arguments, lambda node: self._origins[node].name)
