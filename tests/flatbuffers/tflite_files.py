"""Small ``.tflite`` files written with the vendor's schema classes, an independent writer.

``ai_edge_litert.schema_py_generated`` needs flatbuffers and numpy only; it loads no runtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "int4": schema.TensorType.INT4,
}


@dataclass
class File:
    """A model of one subgraph or several; the last one grows tensor by tensor."""

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    operators: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    custom: dict[int, str] = field(default_factory=dict)
    subgraphs: list[Any] = field(default_factory=list)
    signatures: list[Any] = field(default_factory=list)

    def value(self, name: str, shape: tuple[int, ...], dtype: str, **quantization: Any) -> int:
        """Add a tensor without bytes, and give its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), TYPES[dtype], 0
        tensor.hasRank = True
        if quantization:
            tensor.quantization = schema.QuantizationParametersT()
            for key, item in quantization.items():
                setattr(tensor.quantization, key, item)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(
        self, name: str, shape: tuple[int, ...], dtype: str, data: np.ndarray, **quantization: Any
    ) -> int:
        """Add a tensor with bytes, and give its index."""
        index = self.value(name, shape, dtype, **quantization)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self.buffers.append(buffer)
        self.tensors[index].buffer = len(self.buffers) - 1
        return index

    def operator(
        self, code: int, inputs: list[int], outputs: list[int], options: Any = None
    ) -> None:
        """Add an operator."""
        operator = schema.OperatorT()
        if code not in self.codes:
            self.codes.append(code)
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self.operators.append(operator)

    def begin(self) -> None:
        """Begin another subgraph: tensors and operators count from 0 again, buffers stay."""
        self.tensors, self.operators = [], []

    def share(self, name: str, shape: tuple[int, ...], dtype: str, buffer: int) -> int:
        """Add a tensor with the bytes of a buffer that is there, and give its index."""
        index = self.value(name, shape, dtype)
        self.tensors[index].buffer = buffer
        return index

    def end(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        """End the subgraph, with a signature."""
        subgraph = schema.SubGraphT()
        subgraph.name = key
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = list(inputs.values()), list(outputs.values())
        self.signatures.append(self._signature(key, inputs, outputs))
        self.subgraphs.append(subgraph)

    def pack(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """Give the bytes of the file, with a signature."""
        self.end("serving_default", inputs, outputs)
        return self.content()

    def content(self) -> bytes:
        """Give the bytes of the file."""
        model = schema.ModelT()
        model.version = 3
        model.subgraphs, model.buffers = self.subgraphs, self.buffers
        model.operatorCodes = [self._code(code) for code in self.codes]
        model.signatureDefs = self.signatures
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, code: int) -> Any:
        found = schema.OperatorCodeT()
        found.builtinCode = code
        found.deprecatedBuiltinCode = min(code, 127)
        found.version = 1
        if code in self.custom:
            found.customCode = self.custom[code]
        return found

    def _signature(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> Any:
        signature = schema.SignatureDefT()
        signature.signatureKey = key
        signature.subgraphIndex = len(self.subgraphs)
        signature.inputs = [self._entry(*item) for item in inputs.items()]
        signature.outputs = [self._entry(*item) for item in outputs.items()]
        return signature

    def _entry(self, name: str, index: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        return entry


def dense(weight: np.ndarray, dtype: str = "float32", **quantization: Any) -> bytes:
    """Give a file with one fully connected layer of a weight ``[out, in]``, as stored."""
    file = File()
    outputs, inputs = weight.shape
    x = file.value("x", (1, inputs), "float32")
    w = file.constant("w", weight.shape, dtype, weight, **quantization)
    y = file.value("y", (1, outputs), "float32")
    file.operator(
        schema.BuiltinOperator.FULLY_CONNECTED, [x, w, -1], [y], schema.FullyConnectedOptionsT()
    )
    return file.pack({"args_0": x}, {"output_0": y})


def dense_at(weights: dict[int, np.ndarray]) -> bytes:
    """Give a file with a signature ``rows_N`` for each number of rows, of one layer each.

    Args:
        weights: Number of rows → weight ``[out, in]``; the same array is stored once.
    """
    file = File()
    buffers: dict[int, int] = {}
    for rows, weight in weights.items():
        file.begin()
        outputs, inputs = weight.shape
        x = file.value(f"rows_{rows}_x", (rows, inputs), "float32")
        if id(weight) in buffers:
            w = file.share(f"w;{rows}", weight.shape, "float32", buffers[id(weight)])
        else:
            w = file.constant(f"w;{rows}", weight.shape, "float32", weight)
            buffers[id(weight)] = file.tensors[w].buffer
        y = file.value(f"rows_{rows}_y", (rows, outputs), "float32")
        file.operator(
            schema.BuiltinOperator.FULLY_CONNECTED, [x, w, -1], [y], schema.FullyConnectedOptionsT()
        )
        file.end(f"rows_{rows}", {"args_0": x}, {"output_0": y})
    return file.content()
