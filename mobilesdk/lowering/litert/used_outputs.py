"""Have integer ops take integers where ai-edge-quantizer gave them float32.

ai-edge-quantizer 0.10 lets the op of index -1, which is the last one, stand for the outputs of the
graph. When the last op takes a value that is an output too, it gets the float32 copy made for the
output, though its own result is an integer, and LiteRT does not load the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from mobilesdk.flatbuffers.tflite import Operator, Subgraph, read_tflite


def rewire_integer_ops(content: bytes) -> bytes:
    """Give a quantized file in which integer ops take no activation from behind a DEQUANTIZE.

    Args:
        content: Bytes of the quantized file; they are not changed.
    """
    rewired = list(_rewired_inputs(read_tflite(content).subgraphs[0]))
    if not rewired:
        return content
    from ai_edge_litert import schema_py_generated as schema

    buffer = bytearray(content)
    graph = schema.Model.GetRootAs(buffer).Subgraphs(0)
    for operator, place, tensor in rewired:
        graph.Operators(operator).InputsAsNumpy()[place] = tensor  # a view of the buffer
    return bytes(buffer)


def _rewired_inputs(graph: Subgraph) -> Iterator[tuple[int, int, int]]:
    """Give index of an operator, place in its inputs, and index of the tensor to take there."""
    encoded = {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if operator.type == "DEQUANTIZE"
    }
    for index, operator in enumerate(graph.operators):
        if not _computes_in_integers(graph, operator):
            continue
        for place, tensor in enumerate(operator.inputs):
            if tensor in encoded:
                yield index, place, encoded[tensor]


def _computes_in_integers(graph: Subgraph, operator: Operator) -> bool:
    """Tell an op that stands for reals by integers from one that gives integers of its own."""
    encodes = graph.tensors[operator.outputs[0]].quantization is not None
    return encodes and operator.type != "QUANTIZE"
