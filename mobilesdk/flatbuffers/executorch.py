"""Tell what is inside a ``.pte`` file: ops, delegates, weights decoded to float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, TensorInfo, WeightInfo
from mobilesdk.core.contract import DType
from mobilesdk.core.flexibility import Flexibility
from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.program import Call, Program, TensorValue, read_program
from mobilesdk.flatbuffers.reader import map_file
from mobilesdk.flatbuffers.xnnpack import BACKEND, FLOATS, Graph, Value, read_graph
from mobilesdk.flatbuffers.xnnpack_weights import decode, scheme_of
from mobilesdk.numerics.fingerprint import fingerprint

_EMBEDDING = "quantized_decomposed::embedding_byte"
_FLOAT_DTYPES = {"float32": "<f4", "float16": "<f2"}
_DECODED_PER_BYTE = 8


def inspect_file(path: Path) -> ArtifactInfo:
    """Tell what is inside a ``.pte`` file, without running it.

    Raises:
        FileRejected: The file is damaged or hostile.
    """
    return inspect_program(map_file(path))


def inspect_program(data: memoryview) -> ArtifactInfo:
    """Tell what is inside the bytes of a ``.pte`` file, without running it.

    Raises:
        FileRejected: The bytes are damaged or hostile.
    """
    program = read_program(data)
    graphs = {
        place: read_graph(delegate.payload, program.named_data)
        for place, delegate in enumerate(program.delegates)
        if delegate.backend == BACKEND
    }
    weights = tuple(_Weights(program, graphs, _DECODED_PER_BYTE * len(data)).all())
    return ArtifactInfo(
        format="executorch",
        size_bytes=len(data),
        inputs=_tensors(program, program.inputs, "input"),
        outputs=_tensors(program, program.outputs, "output"),
        states=tuple(_states(program)),
        weights=weights,
        ops=tuple(_ops(program, graphs)),
        delegates=dict(sorted(Counter(item.backend for item in program.delegates).items())),
        problems=(*_problems(weights), *_state_problems(program)),
    )


def _tensors(program: Program, places: tuple[int, ...], kind: str) -> tuple[TensorInfo, ...]:
    """Describe inputs or outputs; the format keeps no names, so they are numbered."""
    tensors = [program.tensors[place] for place in places]
    if bad := {tensor.dtype for tensor in tensors} - set(get_args(DType)):
        raise FileRejected(f"The program takes or gives {', '.join(sorted(bad))}.")
    return tuple(
        TensorInfo(
            name=f"{kind}_{place}",
            shape=tensor.shape,
            dtype=cast("DType", tensor.dtype),
            flexibility=_flexibility(tensor),
        )
        for place, tensor in enumerate(tensors)
    )


def _flexibility(tensor: TensorValue) -> Flexibility | None:
    """Give the sizes that a tensor may have: of a dynamic one, the file keeps the largest ones."""
    if not tensor.is_dynamic:
        return None
    return Flexibility(ranges=tuple((0, size) for size in tensor.shape))


def _states(program: Program) -> Iterator[TensorInfo]:
    """Describe the buffers that outlive a run; these keep their names."""
    for place, tensor in program.tensors.items():
        if tensor.is_state:
            if tensor.dtype not in get_args(DType):
                raise FileRejected(f"The program has a state of {tensor.dtype}.")
            yield TensorInfo(
                name=tensor.name or f"state_{place}",
                shape=tensor.shape,
                dtype=cast("DType", tensor.dtype),
            )


def _state_problems(program: Program) -> Iterator[str]:
    written = {call.arguments[-1] for call in program.calls if call.kernel and call.arguments}
    for place, tensor in program.tensors.items():
        if tensor.is_state and place not in written:
            yield f"the state {tensor.name or place} is never written: every run finds it as before"
        if tensor.is_state and not tensor.has_first_value:
            yield f"the state {tensor.name or place} has no first value: it holds whatever is there"


def _ops(program: Program, graphs: dict[int, Graph]) -> Iterator[OpInfo]:
    for place, call in enumerate(program.calls):
        if call.delegate is None:
            yield OpInfo(name=str(place), type=call.kernel, dtype=_last_dtype(program, call))
        elif call.delegate in graphs:
            graph = graphs[call.delegate]
            for inner, node in enumerate(graph.nodes):
                dtype = graph.values[node.output].dtype
                name = f"{place}.{inner}"
                yield OpInfo(name=name, type=node.type, dtype=dtype, delegate=BACKEND)
        else:
            delegate = program.delegates[call.delegate]
            yield OpInfo(
                name=f"{place} ({len(delegate.payload)} bytes)",
                type="payload",
                dtype=_last_dtype(program, call),
                delegate=delegate.backend,
            )


def _last_dtype(program: Program, call: Call) -> str:
    """Give the dtype of what a call writes: its last argument that is a tensor."""
    written = [program.tensors[item] for item in call.arguments if item in program.tensors]
    return written[-1].dtype if written else "none"


def _problems(weights: tuple[WeightInfo, ...]) -> Iterator[str]:
    for weight in weights:
        if not weight.finite:
            yield f"{weight.name} ({weight.op}) holds values that are not finite"


class _Weights:
    """Finds and decodes weights; the same bytes are one weight, however many ops take them."""

    def __init__(self, program: Program, graphs: dict[int, Graph], budget_elements: int) -> None:
        self._program = program
        self._graphs = graphs
        self._budget_elements = budget_elements
        self._seen: set[object] = set()
        self._beside_floats = {key for call in program.calls for key in self._float_keys(call)}

    def all(self) -> Iterator[WeightInfo]:
        """Give the weights inside of delegates, then those of the program itself."""
        for call in self._program.calls:
            if call.delegate in self._graphs:
                yield from self._of_graph(call, call.delegate)
            else:
                yield from self._of_kernel(call)

    def _of_graph(self, call: Call, delegate: int) -> Iterator[WeightInfo]:
        """Give the constants of a graph, and those of the program that it takes as arguments."""
        graph = self._graphs[delegate]
        for node in graph.nodes:
            for identifier in node.inputs:
                value = self._bound(call, graph.values[identifier])
                name = f"{BACKEND}.{delegate}.{identifier}"
                yield from self._decoded(name, node.type, value)

    def _float_keys(self, call: Call) -> Iterator[object]:
        """Give the keys of constants that an op of a graph takes together with computed floats."""
        if call.delegate not in self._graphs:
            return
        graph = self._graphs[call.delegate]
        for node in graph.nodes:
            values = [self._bound(call, graph.values[item]) for item in node.inputs]
            if any(value.data is None and value.dtype in FLOATS for value in values):
                yield from (_key(value) for value in values if value.data is not None)

    def _bound(self, call: Call, value: Value) -> Value:
        """Put in what the program gives for an argument, if that is a constant."""
        if value.argument is None or value.argument >= len(call.arguments):
            return value
        place = call.arguments[value.argument]
        tensor = self._program.tensors.get(place)
        data = None if tensor is None else tensor.data
        return value if data is None else replace(value, data=data, key=f"value {place}")

    def _decoded(self, name: str, op: str, value: Value) -> Iterator[WeightInfo]:
        scheme = scheme_of(value)
        if value.data is None or scheme is None or len(value.shape) < 2:
            return
        if self._is_new(_key(value), prod(value.shape)):
            scales = value.quantization.stored_bytes if value.quantization else 0
            size = len(value.data) + scales
            weight = _weight(name, op, scheme, size, decode(value))
            decoded = scheme.encoding == "linear" and _key(value) in self._beside_floats
            yield weight.model_copy(update={"decoded": decoded})

    def _of_kernel(self, call: Call) -> Iterator[WeightInfo]:
        held = [self._program.tensors.get(place) for place in call.arguments]
        if call.kernel.startswith(_EMBEDDING):
            yield from self._table(call, held)
            return
        for place, tensor in zip(call.arguments, held, strict=True):
            if tensor is None or tensor.data is None or not _is_float_weight(tensor):
                continue
            if not self._is_new(place, prod(tensor.shape)):
                continue
            values = np.frombuffer(tensor.data, _FLOAT_DTYPES[tensor.dtype]).reshape(tensor.shape)
            scheme = WeightScheme(bits=8 * values.itemsize)
            name = tensor.name or f"value.{place}"
            yield _weight(name, call.kernel, scheme, values.nbytes, values)

    def _table(self, call: Call, held: list[TensorValue | None]) -> Iterator[WeightInfo]:
        """Decode a table of embeddings: int8 rows, one float32 scale for each."""
        table, scales = (*held, None, None)[:2]
        if table is None or scales is None or table.data is None or scales.data is None:
            raise FileRejected(f"{call.kernel} takes no constant table with scales.")
        shapes_fit = len(table.shape) == 2 and prod(scales.shape) == table.shape[0] > 0
        if (table.dtype, scales.dtype) != ("int8", "float32") or not shapes_fit:
            raise FileRejected(
                f"{call.kernel} takes a table of shape {table.shape} as {table.dtype}."
            )
        if self._is_new(call.arguments[0], prod(table.shape)):
            rows = np.frombuffer(table.data, np.int8).reshape(table.shape)
            with np.errstate(all="ignore"):  # scales that are not finite show in the values
                values = rows * np.frombuffer(scales.data, "<f4").reshape(-1, 1)
            scheme = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
            name = table.name or f"value.{call.arguments[0]}"
            size = len(table.data) + len(scales.data)
            yield _weight(name, call.kernel, scheme, size, values)

    def _is_new(self, key: object, elements: int) -> bool:
        if key in self._seen:
            return False
        self._seen.add(key)
        self._budget_elements -= elements
        if self._budget_elements < 0:
            raise FileRejected("The weights decode to more elements than a file of its size holds.")
        return True


def _key(value: Value) -> object:
    """Give what is the same for the same constant."""
    return value.key, value.datatype, value.shape


def _is_float_weight(tensor: TensorValue) -> bool:
    return tensor.dtype in _FLOAT_DTYPES and len(tensor.shape) > 1 and 0 not in tensor.shape


def _weight(
    name: str, op: str, scheme: WeightScheme, size_bytes: int, values: NDArray[Any]
) -> WeightInfo:
    with np.errstate(invalid="ignore"):  # hostile values show as not finite
        numbers = fingerprint(values)
    return WeightInfo(
        name=name,
        op=op,
        shape=values.shape,
        scheme=scheme,
        size_bytes=size_bytes,
        finite=bool(np.isfinite(values).all()),
        fingerprint=numbers,
    )
