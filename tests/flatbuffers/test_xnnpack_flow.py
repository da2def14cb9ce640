"""Which arguments of a delegate are computed from which."""

from __future__ import annotations

from mobilesdk.flatbuffers.xnnpack import Graph, GraphNode, Value
from mobilesdk.flatbuffers.xnnpack_flow import argument_sources


def value(argument: int | None = None) -> Value:
    return Value(datatype=1, shape=(1,), quantization=None, data=None, key="", argument=argument)


def test_outputs_come_from_what_leads_to_them_and_nothing_else() -> None:
    graph = Graph(
        nodes=(
            GraphNode("XNNAdd", (0, 1), 5),  # between: no argument
            GraphNode("XNNMultiply", (5, 9), 3),  # 9 is a constant
            GraphNode("XNNNegate", (2,), 4),
            GraphNode("XNNAdd", (3, 4), 6),
        ),
        values={
            0: value(0),
            1: value(1),
            2: value(2),
            3: value(3),
            4: value(4),
            5: value(),
            6: value(5),
            9: value(),
        },
    )

    assert argument_sources(graph) == {
        3: frozenset({0, 1}),
        4: frozenset({2}),
        5: frozenset({0, 1, 2}),
    }


def test_a_graph_of_constants_comes_from_nothing() -> None:
    graph = Graph(nodes=(GraphNode("XNNNegate", (0,), 1),), values={0: value(), 1: value(0)})

    assert argument_sources(graph) == {0: frozenset()}
