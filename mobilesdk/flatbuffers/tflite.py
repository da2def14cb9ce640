"""Read a ``.tflite`` file into plain values, without LiteRT: tensors, operators, signatures.

Indices and offsets that lead out of the file raise `FileRejected`. A buffer whose bytes are missing
or do not fit its tensor is named in ``problems`` instead: the rest of the file can still be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.naming import natural_order
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.reader import Table, map_file, open_table
from mobilesdk.flatbuffers.tflite_schema import (
    BLOCKWISE_QUANTIZATION,
    BUILTIN_OPERATORS,
    IDENTIFIER,
    TENSOR_TYPES,
    BlockwiseField,
    BufferField,
    ModelField,
    OperatorCodeField,
    OperatorField,
    QuantizationField,
    SignatureField,
    SubgraphField,
    TensorField,
    TensorMapField,
)

MAX_ELEMENTS = 1 << 31


@dataclass(frozen=True)
class Quantization:
    """How integers of a tensor stand for real numbers: ``(q - zero_point) * scale``.

    Attributes:
        scales: float32[n]: one for the tensor, or one for each slice along ``axis``; empty when the
            scales lie in a tensor of their own (blockwise).
        zero_points: int64[n]; empty means 0.
        axis: Axis of the slices.
        block_size: Elements along the last axis that share a scale; 0 if not blockwise.
        scale_tensor: Index of the tensor with the scales, if blockwise.
    """

    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int = 0
    block_size: int = 0
    scale_tensor: int = -1


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        shape: ``-1`` stands for a free dimension.
        dtype: Name of the element type; ``unknown-<code>`` for one newer than this reader.
        data: The bytes of a constant, a view of the file; ``None`` for a value of the run.
        quantization: ``None`` for plain numbers.
        sparse: The bytes are in a sparse encoding.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: NDArray[np.uint8] | None
    quantization: Quantization | None
    sparse: bool


@dataclass(frozen=True)
class Operator:
    """One operator: its type, and indices of tensors; an input of ``-1`` is left out."""

    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True)
class Subgraph:
    """Tensors, and the operators in the order in which they run."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Signature:
    """Names of the inputs and outputs of a subgraph, each with the index of its tensor."""

    key: str
    subgraph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class TFLiteModel:
    """What a ``.tflite`` file holds."""

    size_bytes: int
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    problems: tuple[str, ...]


def read_tflite(source: Path | bytes | memoryview) -> TFLiteModel:
    """Read a file, or its bytes.

    Raises:
        FileRejected: It is no ``.tflite`` file, or it is damaged.
    """
    data = map_file(source) if isinstance(source, Path) else memoryview(source)
    return _Reader(data).model()


@dataclass
class _Reader:
    data: memoryview
    problems: list[str] = field(default_factory=list)

    def model(self) -> TFLiteModel:
        root = open_table(self.data, identifier=IDENTIFIER)
        version = root.integer(ModelField.VERSION, "uint32")
        if version != 3:
            raise FileRejected(f"Schema version {version} of the .tflite file is not 3.")
        buffers = root.tables(ModelField.BUFFERS)
        types = [_operator_type(code) for code in root.tables(ModelField.OPERATOR_CODES)]
        subgraphs = tuple(
            self._subgraph(table, types, buffers) for table in root.tables(ModelField.SUBGRAPHS)
        )
        if not subgraphs:
            raise FileRejected("The .tflite file holds no subgraph.")
        signatures = tuple(
            _signature(table, subgraphs) for table in root.tables(ModelField.SIGNATURE_DEFS)
        )
        return TFLiteModel(len(self.data), subgraphs, signatures, tuple(self.problems))

    def _subgraph(self, table: Table, types: list[str], buffers: list[Table]) -> Subgraph:
        tensors = tuple(self._tensor(item, buffers) for item in table.tables(SubgraphField.TENSORS))
        for tensor in tensors:
            quantization = tensor.quantization
            if quantization is not None and quantization.block_size:
                _check_indices([quantization.scale_tensor], len(tensors), "block scales")
        return Subgraph(
            name=table.string(SubgraphField.NAME),
            tensors=tensors,
            inputs=_indices(table, SubgraphField.INPUTS, len(tensors)),
            outputs=_indices(table, SubgraphField.OUTPUTS, len(tensors)),
            operators=tuple(
                _operator(item, types, len(tensors))
                for item in table.tables(SubgraphField.OPERATORS)
            ),
        )

    def _tensor(self, table: Table, buffers: list[Table]) -> Tensor:
        code = table.integer(TensorField.TYPE, "int8")
        known = 0 <= code < len(TENSOR_TYPES)
        dtype, bits = TENSOR_TYPES[code] if known else (f"unknown-{code}", 0)
        name = table.string(TensorField.NAME)
        shape = _shape(table)
        data = self._buffer(table, buffers, name)
        sparse = table.has(TensorField.SPARSITY)
        needed = (math.prod(shape) * bits + 7) // 8
        if data is not None and bits and not sparse and data.size != needed:
            self.problems.append(
                f"Tensor {name!r} {dtype}{list(shape)} needs {needed} bytes and has {data.size}."
            )
            data = None
        return Tensor(name, shape, dtype, data, _quantization(table), sparse)

    def _buffer(self, table: Table, buffers: list[Table], name: str) -> NDArray[np.uint8] | None:
        if table.integer(TensorField.EXTERNAL_BUFFER, "uint32"):
            self.problems.append(f"Tensor {name!r} has its bytes in another file.")
            return None
        index = table.integer(TensorField.BUFFER, "uint32")
        if index == 0:
            return None
        if index >= len(buffers):
            self.problems.append(f"Tensor {name!r} names buffer {index} of {len(buffers)}.")
            return None
        buffer = buffers[index]
        offset = buffer.integer(BufferField.OFFSET, "uint64")
        if offset > 1:
            return self._bytes_at(offset, buffer.integer(BufferField.SIZE, "uint64"), name)
        data = buffer.array(BufferField.DATA, "u1")
        return data if data.size else None

    def _bytes_at(self, offset: int, size: int, name: str) -> NDArray[np.uint8] | None:
        """Give bytes that lie outside the flatbuffer proper, as in files of over 2 GB."""
        if offset + size > len(self.data):
            self.problems.append(f"Tensor {name!r} has its bytes beyond the end of the file.")
            return None
        view = np.frombuffer(self.data, np.uint8, size, offset)
        view.flags.writeable = False
        return view


def _operator_type(table: Table) -> str:
    old = table.integer(OperatorCodeField.DEPRECATED_BUILTIN_CODE, "int8")
    code = max(old, table.integer(OperatorCodeField.BUILTIN_CODE, "int32"))
    if not 0 <= code < len(BUILTIN_OPERATORS):
        return f"UNKNOWN_{code}"
    name = BUILTIN_OPERATORS[code]
    return f"CUSTOM:{table.string(OperatorCodeField.CUSTOM_CODE)}" if name == "CUSTOM" else name


def _operator(table: Table, types: list[str], tensors: int) -> Operator:
    index = table.integer(OperatorField.OPCODE_INDEX, "uint32")
    _check_indices([index], len(types), "operator codes")
    return Operator(
        type=types[index],
        inputs=_indices(table, OperatorField.INPUTS, tensors, optional=True),
        outputs=_indices(table, OperatorField.OUTPUTS, tensors),
        options=table.table(OperatorField.BUILTIN_OPTIONS),
    )


def _shape(table: Table) -> tuple[int, ...]:
    free = table.array(TensorField.SHAPE_SIGNATURE, "<i4")
    shape = tuple(int(size) for size in table.array(TensorField.SHAPE, "<i4"))
    if min(shape, default=0) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise FileRejected(f"The .tflite file holds a tensor of shape {list(shape)}.")
    return tuple(int(size) for size in free) if free.size == len(shape) else shape


def _quantization(table: Table) -> Quantization | None:
    found = table.table(TensorField.QUANTIZATION)
    if found is None:
        return None
    scales = found.array(QuantizationField.SCALE, "<f4")
    zero_points = found.array(QuantizationField.ZERO_POINT, "<i8")
    axis = found.integer(QuantizationField.QUANTIZED_DIMENSION, "int32")
    if found.integer(QuantizationField.DETAILS_TYPE, "uint8") == BLOCKWISE_QUANTIZATION:
        block = found.table(QuantizationField.DETAILS)
        if block is None:
            raise FileRejected("A blockwise quantization of the .tflite file has no details.")
        block_size = block.integer(BlockwiseField.BLOCK_SIZE, "int32")
        if block_size < 1:
            raise FileRejected(f"The .tflite file has a block of {block_size} elements.")
        scale_tensor = block.integer(BlockwiseField.SCALES, "int32")
        return Quantization(scales, zero_points, axis, block_size, scale_tensor)
    return Quantization(scales, zero_points, axis) if scales.size else None


def _signature(table: Table, subgraphs: Sequence[Subgraph]) -> Signature:
    index = table.integer(SignatureField.SUBGRAPH_INDEX, "uint32")
    _check_indices([index], len(subgraphs), "subgraphs")
    tensors = len(subgraphs[index].tensors)

    def names(place: SignatureField) -> dict[str, int]:
        found = {
            item.string(TensorMapField.NAME): item.integer(TensorMapField.TENSOR_INDEX, "uint32")
            for item in table.tables(place)
        }
        _check_indices(found.values(), tensors, "tensors")
        return {name: found[name] for name in sorted(found, key=natural_order)}

    return Signature(
        key=table.string(SignatureField.KEY),
        subgraph=index,
        inputs=names(SignatureField.INPUTS),
        outputs=names(SignatureField.OUTPUTS),
    )


def _indices(table: Table, place: int, count: int, *, optional: bool = False) -> tuple[int, ...]:
    found = tuple(int(index) for index in table.array(place, "<i4"))
    _check_indices(found, count, "tensors", lowest=-1 if optional else 0)
    return found


def _check_indices(found: Any, count: int, what: str, *, lowest: int = 0) -> None:
    for index in found:
        if not lowest <= index < count:
            raise FileRejected(f"The .tflite file names {what} {index} of {count}.")
