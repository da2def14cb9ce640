"""Mend what ai-edge-quantizer does to outputs of a graph that ops take too.

ai-edge-quantizer 0.10 lets the op of index -1, which is the last one, stand for the outputs of the
graph. When the last op takes a value that is an output too, it gets the float32 copy made for the
output, though its own result is an integer, and LiteRT does not load the file. And when an integer
op takes a float output, the integers made for it become the output of the graph, though not of the
signature, and LiteRT does not run the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from mobilesdk.flatbuffers.tflite import Operator, Subgraph, TFLiteModel, read_tflite


def mend_used_outputs(content: bytes) -> bytes:
    """Give a quantized file whose integer ops take integers, and whose outputs are those it names.

    Integer ops take no activation from behind a DEQUANTIZE, and a graph gives what its signature
    names and not what a QUANTIZE makes of it.

    Args:
        content: Bytes of the quantized file; they are not changed.
    """
    file = read_tflite(content)
    rewired = [
        (index, *found) for index, graph in enumerate(file.subgraphs) for found in _rewired(graph)
    ]
    outputs = list(_outputs(file))
    if not rewired and not outputs:
        return content
    from ai_edge_litert import schema_py_generated as schema

    buffer = bytearray(content)
    model = schema.Model.GetRootAs(buffer)
    for index, operator, place, tensor in rewired:
        inputs = model.Subgraphs(index).Operators(operator).InputsAsNumpy()
        inputs[place] = tensor  # a view of the buffer
    for index, place, tensor in outputs:
        model.Subgraphs(index).OutputsAsNumpy()[place] = tensor
    return bytes(buffer)


def _outputs(file: TFLiteModel) -> Iterator[tuple[int, int, int]]:
    """Give index of a subgraph, place in its outputs, and index of the tensor to give there."""
    for signature in file.signatures:
        graph, named = file.subgraphs[signature.subgraph], set(signature.outputs.values())
        encoded = {
            operator.outputs[0]: operator.inputs[0]
            for operator in graph.operators
            if operator.type == "QUANTIZE" and operator.inputs[0] in named
        }
        for place, tensor in enumerate(graph.outputs):
            if tensor not in named and tensor in encoded:
                yield signature.subgraph, place, encoded[tensor]


def _rewired(graph: Subgraph) -> Iterator[tuple[int, int, int]]:
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
