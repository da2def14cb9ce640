"""Inputs of integer ops and outputs of graphs in files that ai-edge-quantizer wrote."""

from __future__ import annotations

import pytest
from ai_edge_litert import schema_py_generated as schema

from mobilesdk.flatbuffers.tflite import read_tflite
from mobilesdk.lowering.litert.used_outputs import mend_used_outputs
from tests.flatbuffers.tflite_files import File

OPS = schema.BuiltinOperator
SCALE = {"scale": [0.1], "zeroPoint": [3]}


def decoded_and_used(code: int, dtype: str, **quantization: object) -> bytes:
    """Write a file in which an op takes integers (0) twice, once from behind a DEQUANTIZE (1)."""
    file = File()
    integers = file.value("integers", (1, 4), "int8", **SCALE)
    decoded = file.value("decoded", (1, 4), "float32")
    result = file.value("result", (1, 4), dtype, **quantization)
    file.operator(OPS.DEQUANTIZE, [integers], [decoded])
    file.operator(code, [integers, decoded], [result])
    return file.pack({"x": integers}, {"h": decoded, "y": result})


def test_an_integer_op_takes_the_integers_behind_a_decoded_output() -> None:
    content = decoded_and_used(OPS.MUL, "int8", **SCALE)
    before, after = (
        read_tflite(file).subgraphs[0] for file in (content, mend_used_outputs(content))
    )

    assert before.operators[1].inputs == (0, 1)
    assert after.operators[1].inputs == (0, 0)
    assert after.outputs == before.outputs
    assert after.operators[0] == before.operators[0]


@pytest.mark.parametrize(
    ("code", "dtype", "quantization"),
    [
        (OPS.MUL, "float32", {}),
        (OPS.QUANTIZE, "int8", SCALE),
        (OPS.CAST, "int8", {}),
    ],
    ids=["float_op", "encoded_again", "integers_of_the_model"],
)
def test_ops_that_take_float32_keep_it(
    code: int, dtype: str, quantization: dict[str, object]
) -> None:
    content = decoded_and_used(code, dtype, **quantization)

    assert mend_used_outputs(content) is content


def test_a_graph_gives_the_float_output_that_its_signature_names() -> None:
    file = File()
    given = file.value("given", (1, 4), "float32")
    integers = file.value("integers", (1, 4), "int8", **SCALE)
    result = file.value("result", (1, 4), "int8", **SCALE)
    file.operator(OPS.QUANTIZE, [given], [integers])
    file.operator(OPS.MUL, [integers, integers], [result])
    file.end("serving_default", {"x": given}, {"h": given, "y": result})
    file.subgraphs[0].outputs = [integers, result]
    (graph,) = read_tflite(mend_used_outputs(file.content())).subgraphs

    assert graph.outputs == (given, result)
    assert graph.operators[1].inputs == (integers, integers)
