"""Tell what is inside a ``.tflite`` file, in the words that all formats share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import numpy as np

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, TensorInfo, WeightInfo
from mobilesdk.core.contract import DType
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.tflite import Subgraph, Tensor, TFLiteModel, read_tflite
from mobilesdk.flatbuffers.tflite_weights import StoredWeight, stored_weights
from mobilesdk.numerics.fingerprint import fingerprint


def inspect_tflite(source: Path | bytes) -> ArtifactInfo:
    """Read a file without running it.

    Every subgraph is reported; inputs and outputs are those of the first signature, or of the first
    subgraph where there is no signature. The bytes of two tensors that share them count once.

    Raises:
        FileRejected: It is damaged, or takes or gives tensors of a type outside the contract's.
    """
    model = read_tflite(source)
    weights, problems = _weights(model)
    inputs, outputs = _interface(model)
    return ArtifactInfo(
        format="litert",
        size_bytes=model.size_bytes,
        inputs=inputs,
        outputs=outputs,
        weights=weights,
        ops=tuple(op for subgraph in model.subgraphs for op in _ops(subgraph)),
        problems=(*model.problems, *problems),
    )


def _interface(model: TFLiteModel) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    if not model.signatures:
        main = model.subgraphs[0]
        named = [{main.tensors[index].name: index for index in main.inputs}]
        named.append({main.tensors[index].name: index for index in main.outputs})
    else:
        main = model.subgraphs[model.signatures[0].subgraph]
        named = [model.signatures[0].inputs, model.signatures[0].outputs]
    inputs, outputs = (
        tuple(_tensor_info(name, main.tensors[index]) for name, index in names.items())
        for names in named
    )
    return inputs, outputs


def _tensor_info(name: str, tensor: Tensor) -> TensorInfo:
    if tensor.dtype not in get_args(DType):
        raise FileRejected(f"The .tflite file takes or gives {name!r} as {tensor.dtype}.")
    return TensorInfo(name=name, shape=tensor.shape, dtype=cast("DType", tensor.dtype))


def _weights(model: TFLiteModel) -> tuple[tuple[WeightInfo, ...], list[str]]:
    problems: list[str] = []
    counted: set[int] = set()
    found = []
    for subgraph in model.subgraphs:
        problems.extend(_sparse(subgraph))
        decoded = {
            operator.inputs[0] for operator in subgraph.operators if operator.type == "DEQUANTIZE"
        }
        for weight in stored_weights(subgraph):
            info = _weight_info(weight, counted, decoded=weight.index in decoded)
            if not info.finite:
                problems.append(f"Weight {info.name!r} holds values that are not finite.")
            found.append(info)
    return tuple(found), problems


def _sparse(subgraph: Subgraph) -> Iterator[str]:
    for tensor in subgraph.tensors:
        if tensor.sparse:
            yield f"Tensor {tensor.name!r} is in a sparse encoding, which is not decoded."


def _weight_info(weight: StoredWeight, counted: set[int], *, decoded: bool) -> WeightInfo:
    values = weight.values()
    data = weight.tensor.data
    place = data.ctypes.data if data is not None else 0
    size_bytes = 0 if place in counted else weight.size_bytes
    counted.add(place)
    return WeightInfo(
        name=weight.tensor.name,
        op=weight.op,
        shape=weight.tensor.shape,
        scheme=weight.scheme(),
        size_bytes=size_bytes,
        finite=bool(np.isfinite(values).all()),
        decoded=decoded,
        fingerprint=fingerprint(values),
    )


def _ops(subgraph: Subgraph) -> Iterator[OpInfo]:
    for position, operator in enumerate(subgraph.operators):
        output = subgraph.tensors[operator.outputs[0]] if operator.outputs else None
        yield OpInfo(
            name=output.name if output is not None else f"{subgraph.name}/{position}",
            type=operator.type,
            dtype=output.dtype if output is not None else "",
        )
