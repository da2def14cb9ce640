"""Reader of XNNPACK payloads: the graph that ExecuTorch's XNNPACK delegate runs.

A payload is a header (``XH00``), a flatbuffer (``schema.fbs``, identifier ``XN01``) and constant
data; newer files keep the constants as named data of the program. Node types and value types are
given in the words of that schema.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.reader import Table, open_table

BACKEND = "XnnpackBackend"
DATATYPES = {
    1: "float32",
    2: "float16",
    3: "int8",
    4: "uint8",
    5: "int32",
    6: "int8",
    7: "int32",
    8: "int4",
    9: "int8",
    10: "int4",
    11: "int8",
    12: "int32",
    13: "float32",
    14: "bfloat16",
}
"""Value types of the schema → dtypes; ``qdint8`` (9) is int8 with ranges found at run time."""

FLOATS = frozenset({"float32", "float16", "bfloat16"})
"""Dtypes of values that an op computes in floating point."""

MAX_AXES = 6

_HEADER = struct.Struct("<4x4sHIIIQ")
_HEADER_MAGIC = b"XH00"
_NO_ARGUMENT = 2**32 - 1

_UNARY, _BINARY = ((0,), 1), ((0, 1), 2)
_CONVOLUTION, _POOLING = ((15, 16, 17), 18), ((10,), 11)
_CONCATENATION = ((1, 2, 3, 4, 7), 5)
# Node types in the order of the schema's union → places of the inputs, place of the first output.
_NODE_TYPES: tuple[tuple[str, tuple[tuple[int, ...], int]], ...] = (
    ("XNNAdd", _BINARY),
    ("XNNFullyConnected", ((0, 1, 2), 3)),
    ("XNNSoftmax", _UNARY),
    ("XNNSigmoid", _UNARY),
    ("XNNStaticTranspose", ((2,), 3)),
    ("XNNClamp", _UNARY),
    ("XNNConv2d", _CONVOLUTION),
    ("XNNDiv", _BINARY),
    ("XNNStaticResizeBilinear2D", ((2,), 3)),
    ("XNNStaticConstantPad", ((3,), 4)),
    ("XNNAvgPooling2d", _POOLING),
    ("XNNMinimum", _BINARY),
    ("XNNDepthwiseConv2d", _CONVOLUTION),
    ("XNNMaxPooling2d", _POOLING),
    ("XNNMultiply", _BINARY),
    ("XNNSubtract", _BINARY),
    ("XNNFloor", _UNARY),
    ("XNNConvert", _UNARY),
    ("XNNGlobalAvgPooling2d", _UNARY),
    ("XNNStaticReshape", ((2,), 3)),
    ("XNNArgMaxPooling2d", ((6,), 7)),
    ("XNNSquareRoot", _UNARY),
    ("XNNCeiling", _UNARY),
    ("XNNHardswish", _UNARY),
    ("XNNLeakyReLU", ((1,), 2)),
    ("XNNMaximum", _BINARY),
    ("XNNNegate", _UNARY),
    ("XNNSquare", _UNARY),
    ("XNNELU", ((1,), 2)),
    ("XNNAbs", _UNARY),
    ("XNNPReLU", _BINARY),
    ("XNNConcatenate2", _CONCATENATION),
    ("XNNConcatenate3", _CONCATENATION),
    ("XNNConcatenate4", _CONCATENATION),
    ("XNNStaticSlice", ((3,), 4)),
    ("XNNScaledDotProductAttention", ((0, 1, 2, 3, 4), 5)),
    ("XNNBatchMatrixMultiply", _BINARY),
    ("XNNConcatenate5", _CONCATENATION),
    ("XNNConvTranspose2d", _CONVOLUTION),
    ("XNNReciprocalSquareRoot", _UNARY),
    ("XNNLog", _UNARY),
    ("XNNGelu", _UNARY),
    ("XNNTanh", _UNARY),
    ("XNNExp", _UNARY),
    ("XNNSin", _UNARY),
    ("XNNCopy", _UNARY),
    ("XNNCos", _UNARY),
)
_CONCATENATED = {"XNNConcatenate2": 2, "XNNConcatenate3": 3, "XNNConcatenate4": 4}


@dataclass(frozen=True)
class Quantization:
    """How integers stand for numbers.

    Attributes:
        kind: ``per_tensor``, ``per_channel``, ``per_block``, or ``dynamic``.
        scales: float32; one, one per channel, or channels x blocks.
        zero_point: Integer that stands for 0; of a tensor only.
        axis: Axis of the channels.
        block_size: Input channels per block.
    """

    kind: str
    scales: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    zero_point: int = 0
    axis: int = 0
    block_size: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes:
        datatype: As in the schema.
        shape: Sizes; channels last where XNNPACK wants them so.
        quantization: How integers stand for numbers; ``None`` for floats.
        data: Bytes of a constant; ``None`` for a value that is computed or given.
        key: The same for the same bytes.
        argument: Which argument of the delegate it is; ``None`` if it is none.
    """

    datatype: int
    shape: tuple[int, ...]
    quantization: Quantization | None
    data: memoryview | None
    key: str
    argument: int | None

    @property
    def dtype(self) -> str:
        """Dtype of one element."""
        return DATATYPES[self.datatype]


@dataclass(frozen=True)
class GraphNode:
    """An op: its type, and the ids of what it takes and gives first."""

    type: str
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Graph:
    """A payload: ops in the order of execution, and values by id."""

    nodes: tuple[GraphNode, ...]
    values: Mapping[int, Value]


def read_graph(payload: memoryview, named_data: Mapping[str, memoryview]) -> Graph:
    """Read the payload of an XNNPACK delegate.

    Args:
        payload: What the program holds for the delegate.
        named_data: Named data of the program.

    Raises:
        FileRejected: The payload is damaged or hostile.
    """
    flatbuffer, constants = _parts(payload)
    root = open_table(flatbuffer)
    source = _Constants(root, constants, named_data)
    values = {}
    for table in root.tables(2):
        identifier, value = _value(table, source)
        values[identifier] = value
    nodes = tuple(_node(table, values) for table in root.tables(1))
    return Graph(nodes, values)


def _parts(payload: memoryview) -> tuple[memoryview, memoryview]:
    """Give the flatbuffer and the constant data behind it."""
    if len(payload) < _HEADER.size:
        raise FileRejected(f"{len(payload)} bytes are too few for an XNNPACK payload.")
    magic, _, start, size, data_start, data_size = _HEADER.unpack_from(payload, 0)
    if magic != _HEADER_MAGIC:
        return payload, payload[:0]
    if start + size > len(payload) or data_start + data_size > len(payload):
        raise FileRejected("The parts of an XNNPACK payload lie outside it.")
    return payload[start : start + size], payload[data_start : data_start + data_size]


class _Constants:
    """Bytes of constants, by their place in the graph's table; place 0 means none."""

    def __init__(self, root: Table, data: memoryview, named_data: Mapping[str, memoryview]) -> None:
        self._entries = root.tables(8)
        self._inline = root.tables(6)
        self._data = data
        self._named = named_data

    def get(self, index: int) -> tuple[str, memoryview]:
        """Give a name that is the same for the same bytes, and the bytes."""
        if self._inline:
            if index >= len(self._inline):
                raise FileRejected(f"Constant {index} of an XNNPACK payload does not exist.")
            return f"inline {index}", self._inline[index].data(0)
        if index >= len(self._entries):
            raise FileRejected(f"Constant {index} of an XNNPACK payload does not exist.")
        entry = self._entries[index]
        offset, size = entry.integer(0, "uint64"), entry.integer(1, "uint64")
        key = entry.string(2)
        source, start = self._data, offset
        if key:
            if key not in self._named:
                raise FileRejected(f"The program holds no data named {key!r}.")
            source, start = self._named[key], 0
        if start + size > len(source):
            raise FileRejected(f"Constant {index} of an XNNPACK payload is cut off.")
        return key or f"offset {offset}", source[start : start + size]


def _value(table: Table, constants: _Constants) -> tuple[int, Value]:
    held = table.table(1)
    quantized = table.integer(0, "uint8") == 2
    tensor = held.table(0) if held is not None and quantized else held
    if held is None or tensor is None:
        raise FileRejected("An XNNPACK payload holds a value without a tensor.")
    datatype = tensor.integer(0, "int16")
    if datatype not in DATATYPES:
        raise FileRejected(f"An XNNPACK payload holds a value of the unknown type {datatype}.")
    shape = tuple(tensor.array(2, "<u4").tolist())
    if len(shape) > MAX_AXES or 0 in shape:
        raise FileRejected(f"An XNNPACK payload holds a value of shape {shape[: MAX_AXES + 1]}.")
    index = tensor.integer(3, "uint32")
    key, data = constants.get(index) if index else ("", None)
    external = tensor.integer(4, "uint32")
    value = Value(
        datatype=datatype,
        shape=shape,
        quantization=_quantization(held, constants) if quantized else None,
        data=data,
        key=key,
        argument=None if external == _NO_ARGUMENT else external,
    )
    return tensor.integer(6, "uint32"), value


def _quantization(held: Table, constants: _Constants) -> Quantization:
    kind, numbers = held.integer(1, "uint8"), held.table(2)
    if numbers is None:
        raise FileRejected("An XNNPACK payload holds a quantized value without scales.")
    if kind == 1:
        return _channels(numbers, constants)
    if kind == 2:
        scale = np.array([numbers.real(0)], np.float32)
        return Quantization("per_tensor", scale, numbers.integer(1, "int32"), stored_bytes=8)
    if kind == 3:
        return Quantization("dynamic", np.ones(1, np.float32))
    if kind == 4:
        return _blocks(numbers, constants)
    raise FileRejected(f"An XNNPACK payload holds scales of the unknown kind {kind}.")


def _channels(numbers: Table, constants: _Constants) -> Quantization:
    scales = numbers.array(0, "<f4")
    if not scales.size:
        scales = _scales(constants, numbers.integer(2, "uint32"), numbers.integer(3, "uint32"), 4)
    axis = numbers.integer(1, "int32")
    return Quantization("per_channel", scales, axis=axis, stored_bytes=scales.nbytes)


def _blocks(numbers: Table, constants: _Constants) -> Quantization:
    scales = numbers.array(0, "<f4")
    stored_bytes = scales.nbytes
    if not scales.size:
        scales = _scales(constants, numbers.integer(4, "uint32"), numbers.integer(5, "uint32"), 2)
        stored_bytes = 2 * scales.size
    return Quantization(
        "per_block",
        scales,
        axis=numbers.integer(1, "int32"),
        block_size=numbers.integer(2, "int32"),
        stored_bytes=stored_bytes,
    )


def _scales(
    constants: _Constants, index: int, count: int, item_bytes: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    _, data = constants.get(index)
    if len(data) != count * item_bytes:
        raise FileRejected(f"{count} scales of an XNNPACK payload have {len(data)} bytes.")
    if item_bytes == 4:
        return np.frombuffer(data, "<f4")
    halves = np.frombuffer(data, "<u2").astype(np.uint32)  # bfloat16: upper half of a float32
    return (halves << 16).view(np.float32)


def _node(table: Table, values: Mapping[int, Value]) -> GraphNode:
    code, held = table.integer(0, "uint8"), table.table(1)
    if held is None or not 1 <= code <= len(_NODE_TYPES):
        raise FileRejected(f"An XNNPACK payload holds a node of the unknown type {code}.")
    name, (inputs, output) = _NODE_TYPES[code - 1]
    used = inputs[: _CONCATENATED.get(name, len(inputs))]
    taken = tuple(held.integer(place, "uint32") for place in used)
    given = held.integer(output, "uint32")
    if given not in values:
        raise FileRejected(
            f"A node of an XNNPACK payload gives the value {given}, which is not there."
        )
    return GraphNode(name, tuple(item for item in taken if item in values), given)
