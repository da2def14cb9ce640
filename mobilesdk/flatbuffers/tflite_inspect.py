"""Tell what is inside a ``.tflite`` file, in the words that all formats share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

import numpy as np

from mobilesdk.core.artifact import ArtifactInfo, FunctionInfo, OpInfo, TensorInfo, WeightInfo
from mobilesdk.core.contract import DType
from mobilesdk.core.flexibility import Flexibility
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.tflite import Subgraph, Tensor, TFLiteModel, read_tflite
from mobilesdk.flatbuffers.tflite_weights import StoredWeight, shared_weights
from mobilesdk.numerics.fingerprint import fingerprint


def inspect_tflite(source: Path | bytes) -> ArtifactInfo:
    """Read a file without running it.

    Every subgraph is reported. Signatures that differ in sizes only are one interface together; of
    others the first is the one that runs by default. A file without signatures has its first
    subgraph for one. The bytes of two tensors that share them count once.

    Raises:
        FileRejected: It is damaged, or takes or gives tensors of a type outside the contract's.
    """
    model = read_tflite(source)
    functions = _functions(model)
    has_several, has_sizes = len(functions) > 1, _differ_in_sizes(functions)
    names = _function_names(model) if has_several else {}
    weights, problems = _weights(model, names)
    first, others = functions[0], functions[1:]
    return ArtifactInfo(
        format="litert",
        size_bytes=model.size_bytes,
        inputs=_merged([each.inputs for each in functions]) if has_sizes else first.inputs,
        outputs=_merged([each.outputs for each in functions]) if has_sizes else first.outputs,
        function=first.name if has_several and not has_sizes else "",
        other_functions=() if has_sizes else others,
        signatures=functions if has_sizes else (),
        weights=weights,
        ops=tuple(
            op.model_copy(update={"function": names.get(index, "")})
            for index, subgraph in enumerate(model.subgraphs)
            for op in _ops(subgraph)
        ),
        problems=(*model.problems, *problems),
    )


def _functions(model: TFLiteModel) -> tuple[FunctionInfo, ...]:
    if model.signatures:
        return tuple(
            FunctionInfo(
                name=each.key,
                inputs=_tensor_infos(each.inputs, model.subgraphs[each.subgraph]),
                outputs=_tensor_infos(each.outputs, model.subgraphs[each.subgraph]),
            )
            for each in model.signatures
        )
    main = model.subgraphs[0]
    inputs, outputs = (
        _tensor_infos({main.tensors[index].name: index for index in indices}, main)
        for indices in (main.inputs, main.outputs)
    )
    return (FunctionInfo(name=main.name, inputs=inputs, outputs=outputs),)


def _function_names(model: TFLiteModel) -> dict[int, str]:
    """Give the name of each subgraph, by its index: that of its signature, if it has one."""
    own = {index: subgraph.name for index, subgraph in enumerate(model.subgraphs)}
    return own | {each.subgraph: each.key for each in reversed(model.signatures)}


def _differ_in_sizes(functions: tuple[FunctionInfo, ...]) -> bool:
    """Tell whether functions are one interface at several sizes, which the inputs tell apart."""
    kinds = {
        tuple(
            (tensor.name, tensor.dtype, len(tensor.shape))
            for tensors in (each.inputs, each.outputs)
            for tensor in tensors
        )
        for each in functions
    }
    shapes = {tuple(tensor.shape for tensor in each.inputs) for each in functions}
    is_static = all(-1 not in shape for taken in shapes for shape in taken)
    return len(functions) > 1 and len(kinds) == 1 and len(shapes) == len(functions) and is_static


def _merged(tensors: Sequence[tuple[TensorInfo, ...]]) -> tuple[TensorInfo, ...]:
    """Give the tensors of all signatures as those of one, which allow the shapes of all."""
    merged = []
    for same in zip(*tensors, strict=True):
        shapes = tuple(dict.fromkeys(tensor.shape for tensor in same))
        flexibility = Flexibility(shapes=shapes) if len(shapes) > 1 else None
        shape = flexibility.shape if flexibility is not None else shapes[0]
        merged.append(same[0].model_copy(update={"shape": shape, "flexibility": flexibility}))
    return tuple(merged)


def _tensor_infos(names: Mapping[str, int], subgraph: Subgraph) -> tuple[TensorInfo, ...]:
    return tuple(_tensor_info(name, subgraph.tensors[index]) for name, index in names.items())


def _tensor_info(name: str, tensor: Tensor) -> TensorInfo:
    if tensor.dtype not in get_args(DType):
        raise FileRejected(f"The .tflite file takes or gives {name!r} as {tensor.dtype}.")
    return TensorInfo(name=name, shape=tensor.shape, dtype=cast("DType", tensor.dtype))


def _weights(
    model: TFLiteModel, names: Mapping[int, str]
) -> tuple[tuple[WeightInfo, ...], list[str]]:
    problems = [problem for subgraph in model.subgraphs for problem in _sparse(subgraph)]
    decoded = [
        {operator.inputs[0] for operator in subgraph.operators if operator.type == "DEQUANTIZE"}
        for subgraph in model.subgraphs
    ]
    counted: set[int] = set()
    found = []
    for shared in shared_weights(model.subgraphs):
        weight = next(iter(shared.values()))
        is_decoded = any(each.index in decoded[place] for place, each in shared.items())
        info = _weight_info(weight, counted, decoded=is_decoded)
        if not info.finite:
            problems.append(f"Weight {info.name!r} holds values that are not finite.")
        functions = tuple(names[place] for place in shared) if names else ()
        found.append(info.model_copy(update={"functions": functions}))
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
