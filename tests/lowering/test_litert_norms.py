"""Which operators of a LiteRT file are part of a norm."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobilesdk.core.scheme import ActivationScheme
from mobilesdk.flatbuffers.tflite import Subgraph, read_tflite
from mobilesdk.lowering.litert.norms import norm_operators
from mobilesdk.lowering.litert.recipe import build_recipe, float_operators
from tests.flatbuffers.tflite_files import File

OPS = schema.BuiltinOperator
STATIC = ActivationScheme(mode="static", bits=8)


class Graph:
    """Builds a file whose operators are named after what they give."""

    def __init__(self) -> None:
        self._file = File()
        self._count = 0
        self.x = self._file.value("x", (4, 8), "float32")

    def constant(self, *shape: int) -> int:
        self._count += 1
        ones = np.ones(shape, np.float32)
        return self._file.constant(f"c{self._count}", shape, "float32", ones)

    def op(self, name: str, code: int, inputs: list[int], *shape: int) -> int:
        output = self._file.value(name, shape, "float32")
        self._file.operator(code, inputs, [output])
        return output

    def subgraph(self, output: int) -> Subgraph:
        return read_tflite(self._file.pack({"x": self.x}, {"y": output})).subgraphs[0]


def names(subgraph: Subgraph) -> list[str]:
    return [subgraph.tensors[op.outputs[0]].name for op in norm_operators(subgraph)]


def dense(graph: Graph, name: str, source: int) -> int:
    return graph.op(name, OPS.FULLY_CONNECTED, [source, graph.constant(8, 8), -1], 4, 8)


def unit_length(graph: Graph) -> Subgraph:
    """What ``normalize`` behind a linear layer becomes."""
    before = dense(graph, "before", graph.x)
    magnitudes = graph.op("magnitudes", OPS.ABS, [before], 4, 8)
    squares = graph.op("squares", OPS.MUL, [magnitudes, magnitudes], 4, 8)
    total = graph.op("total", OPS.SUM, [squares], 4)
    root = graph.op("root", OPS.SQRT, [total], 4)
    column = graph.op("column", OPS.RESHAPE, [root], 4, 1)
    clipped = graph.op("clipped", OPS.MAXIMUM, [column, graph.constant(1, 1)], 4, 1)
    quotient = graph.op("quotient", OPS.DIV, [before, clipped], 4, 8)
    return graph.subgraph(dense(graph, "behind", quotient))


def test_a_vector_made_to_have_length_one() -> None:
    found = names(unit_length(Graph()))
    assert found == ["magnitudes", "squares", "total", "root", "column", "clipped", "quotient"]


def test_a_layer_norm_with_its_mean_and_without_its_scale_and_shift() -> None:
    graph = Graph()
    mean = graph.op("mean", OPS.MEAN, [graph.x], 4, 1)
    squares = graph.op("squares", OPS.SQUARED_DIFFERENCE, [graph.x, mean], 4, 8)
    variance = graph.op("variance", OPS.MEAN, [squares], 4, 1)
    widened = graph.op("widened", OPS.ADD, [variance, graph.constant(1, 1)], 4, 1)
    root = graph.op("root", OPS.RSQRT, [widened], 4, 1)
    scaled = graph.op("scaled", OPS.MUL, [graph.x, root], 4, 8)
    offset = graph.op("offset", OPS.MUL, [mean, root], 4, 1)
    centred = graph.op("centred", OPS.SUB, [scaled, offset], 4, 8)
    gained = graph.op("gained", OPS.MUL, [centred, graph.constant(1, 8)], 4, 8)
    found = names(graph.subgraph(dense(graph, "behind", gained)))
    assert found == [
        *("mean", "squares", "variance", "widened", "root"),
        *("scaled", "offset", "centred"),
    ]


def test_values_of_which_the_mean_was_taken_away_before_they_are_squared() -> None:
    graph = Graph()
    mean = graph.op("mean", OPS.MEAN, [graph.x], 4, 1)
    centred = graph.op("centred", OPS.SUB, [graph.x, mean], 4, 8)
    squares = graph.op("squares", OPS.MUL, [centred, centred], 4, 8)
    variance = graph.op("variance", OPS.MEAN, [squares], 4, 1)
    root = graph.op("root", OPS.RSQRT, [variance], 4, 1)
    scaled = graph.op("scaled", OPS.MUL, [centred, root], 4, 8)
    found = names(graph.subgraph(graph.op("behind", OPS.RELU, [scaled], 4, 8)))
    assert found == ["mean", "centred", "squares", "variance", "root", "scaled"]


def test_a_root_of_something_else_is_no_norm() -> None:
    graph = Graph()
    total = graph.op("total", OPS.SUM, [graph.x], 4, 1)
    root = graph.op("root", OPS.SQRT, [total], 4, 1)
    other = graph.op("other", OPS.MUL, [graph.x, root], 4, 8)
    square = graph.op("square", OPS.MUL, [other, other], 4, 8)
    assert names(graph.subgraph(square)) == []


def test_the_recipe_leaves_norms_and_comparisons_with_constants_float() -> None:
    graph = Graph()
    clipped = graph.op("clipped", OPS.MAXIMUM, [graph.x, graph.constant(1, 1)], 4, 8)
    larger = graph.op("larger", OPS.MAXIMUM, [clipped, graph.x], 4, 8)
    subgraph = graph.subgraph(larger)
    (index, reason), *others = float_operators(subgraph).items()
    assert (subgraph.tensors[index].name, bool(reason), others) == ("clipped", True, [])

    rules = build_recipe(subgraph, {}, STATIC, op_set="builtin", float_io=True)
    kept = [rule["regex"] for rule in rules if rule["algorithm_key"] == "no_quantize"]
    assert r"\Aclipped;\Z" in kept
    assert r"\Alarger;\Z" not in kept
