"""Which arguments of an XNNPACK delegate are computed from which others."""

from __future__ import annotations

from collections import defaultdict

from mobilesdk.flatbuffers.xnnpack import Graph


def argument_sources(graph: Graph) -> dict[int, frozenset[int]]:
    """Map each argument that the graph computes to the arguments that it is computed from."""
    sources: dict[int, frozenset[int]] = defaultdict(frozenset)
    for identifier, value in graph.values.items():
        if value.argument is not None:
            sources[identifier] = frozenset({value.argument})
    computed = set()
    for node in graph.nodes:
        taken = [sources[identifier] for identifier in node.inputs]
        sources[node.output] = frozenset().union(*taken)
        computed.add(node.output)
    return {
        argument: sources[identifier]
        for identifier in sorted(computed)
        if (argument := graph.values[identifier].argument) is not None
    }
