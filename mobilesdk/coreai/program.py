"""Programs of Core AI: graphs, types and constants of the dialect ``aicode``.

Apple does not document the dialect. What stands here was found by writing programs with coreai-core
1.0.0b3 that are known, and is refused where a file has something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreai.bytecode import Bytecode
from mobilesdk.coreai.reader import Reader, at
from mobilesdk.coreai.tree import Block, Operation
from mobilesdk.errors import FileRejected
from mobilesdk.numerics.packing import packed_size, unpack

DIALECT = "aicode"
VERSION = 2
MAIN = "main"
DYNAMIC = -1

ASSET, GRAPH, OUTPUT = (
    "aicode.serialization.asset",
    "aicode.dataflow.graph_v1",
    "aicode.dataflow.output_v1",
)
CONSTANT = "aicode.primitive.constant_v1"

# Code of a type → name of its elements.
_ELEMENTS = {
    4: "bool",
    5: "float64",
    6: "float32",
    7: "float16",
    8: "bfloat16",
    17: "int64",
    18: "int32",
    19: "int16",
    20: "int8",
    21: "int4",
    22: "int2",
    23: "uint64",
    24: "uint32",
    25: "uint16",
    26: "uint8",
    27: "uint4",
    28: "uint2",
    29: "uint1",
    36: "uint6",
    37: "uint3",
}
_TENSOR, _ENCODED_TENSOR = 2, 3
_TEXT, _LIST, _DENSE, _RESOURCE, _NAMED = 1, 5, 6, 7, 9
_GRAPH_FIELDS = 9
_ARGUMENTS, _NAME, _RESULTS = 0, 5, 8
_NAME_KEY = "aicode.name"
_DYNAMIC_SIZE = -(1 << 63)
MAX_ELEMENTS = 1 << 27  # of a constant that the file holds one element of


@dataclass(frozen=True)
class TensorType:
    """Type of a value.

    Attributes:
        element: Name of the type of its elements: ``float16``, ``int4``, ``uint6``, …
        shape: Its sizes; `DYNAMIC` for one that is free.
    """

    element: str
    shape: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits of an element; 8 for a boolean."""
        digits = "".join(filter(str.isdigit, self.element))
        return int(digits) if digits else 8


@dataclass(frozen=True)
class Graph:
    """A function.

    Attributes:
        name: Its name.
        inputs: Name and number of each value that it takes, in order.
        outputs: The same of what it gives.
        operations: In order, without the one that gives the outputs.
    """

    name: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    operations: tuple[Operation, ...]


class Program:
    """The graphs of a file, and what is known of their values."""

    def __init__(self, bytecode: Bytecode) -> None:
        """Read the graphs.

        Raises:
            FileRejected: The file is no program of Core AI, of another version, or damaged.
        """
        self._bytecode = bytecode
        version = bytecode.dialects.get(DIALECT)
        if version is None or list(bytecode.dialects) != [DIALECT]:
            raise FileRejected(f"The dialects are {sorted(bytecode.dialects)}, not {DIALECT!r}.")
        found = Reader(memoryview(version)).number() if version else 0
        if found != VERSION:
            raise FileRejected(f"The dialect {DIALECT} is of version {found}, not {VERSION}.")
        self._types: dict[int, int] = {}
        self.graphs = tuple(
            self._graph(item)
            for asset in bytecode.block.operations
            if asset.name == ASSET
            for block in asset.blocks()
            for item in block.operations
            if item.name == GRAPH
        )
        if [graph.name for graph in self.graphs].count(MAIN) != 1:
            raise FileRejected(f"The program has no single function named {MAIN!r}.")

    @property
    def main(self) -> Graph:
        """The function that runs by default."""
        return next(graph for graph in self.graphs if graph.name == MAIN)

    def type_of(self, value: int) -> TensorType | None:
        """Give the type of a value; None if it is no tensor of elements that are known here."""
        dialect, data = at(self._bytecode.types, self._types[value])
        reader = Reader(data)
        code = reader.number()
        if dialect != DIALECT or code not in (_TENSOR, _ENCODED_TENSOR):
            return None
        shape = tuple(_size(reader.signed()) for _ in range(reader.number()))
        _, element = at(self._bytecode.types, reader.number())
        name = _ELEMENTS.get(Reader(element).number())
        return None if name is None else TensorType(name, shape)

    def constant(self, operation: Operation) -> NDArray[Any]:
        """Decode a constant.

        Returns:
            In its shape; elements of less than 8 bits as int8 or uint8.

        Raises:
            FileRejected: It is damaged, or of elements that are not known.
        """
        declared = self.type_of(operation.results[0]) if operation.results else None
        if declared is None or DYNAMIC in declared.shape:
            raise FileRejected("A constant of the program is of a type that is not known.")
        count = prod(declared.shape)
        data, is_splat = self._data(operation)
        if is_splat and count > MAX_ELEMENTS:
            raise FileRejected(f"A constant of the program repeats one element {count} times.")
        values = _decode(data, declared, 1 if is_splat else count)
        if is_splat:
            return np.broadcast_to(values[0], declared.shape)
        return values.reshape(declared.shape)

    def stored_bytes(self, operation: Operation) -> int:
        """Give the bytes that a constant takes in the file."""
        return len(self._data(operation)[0])

    def _data(self, operation: Operation) -> tuple[memoryview, bool]:
        """Give the bytes of a constant, and whether they are one element for all."""
        reader = self._attribute(Reader(operation.properties).number())
        code = reader.number()
        if code == _RESOURCE:
            return at(self._bytecode.resources, reader.number())[1], False
        if code != _DENSE:
            raise FileRejected(f"A constant of the program is an attribute of kind {code}.")
        is_splat = bool(reader.byte())
        return reader.take(reader.number()), is_splat

    def _attribute(self, place: int) -> Reader:
        return Reader(at(self._bytecode.attributes, place)[1])

    def _graph(self, operation: Operation) -> Graph:
        fields = Reader(operation.properties)
        places = [fields.number() for _ in range(_GRAPH_FIELDS)]
        blocks = list(operation.blocks())
        if not fields.at_end or len(blocks) != 1 or not blocks[0].operations:
            raise FileRejected("A function of the program is not of the form that is known.")
        block = blocks[0]
        *operations, output = block.operations
        if output.name != OUTPUT:
            raise FileRejected(f"A function of the program ends in {output.name}.")
        self._types |= dict(block.arguments)
        self._note_types(block)
        inputs = [value for value, _ in block.arguments]
        return Graph(
            name=self._text(places[_NAME]),
            inputs=self._named(places[_ARGUMENTS], inputs),
            outputs=self._named(places[_RESULTS], output.operands),
            operations=tuple(operations),
        )

    def _note_types(self, block: Block) -> None:
        for operation in block.operations:
            self._types |= zip(operation.results, operation.types, strict=True)
            for region in operation.regions:
                for inner in region:
                    self._types |= dict(inner.arguments)
                    self._note_types(inner)

    def _named(self, place: int, values: Any) -> tuple[tuple[str, int], ...]:
        """Give values with the names that a list of lists of named attributes says."""
        names = [self._name(item) for item in self._list(place)] or [""] * len(values)
        if len(names) != len(values):
            raise FileRejected(f"The program names {len(names)} of {len(values)} values.")
        return tuple(zip(names, values, strict=True))

    def _name(self, place: int) -> str:
        for item in self._list(place):
            reader = self._attribute(item)
            if reader.number() != _NAMED:
                continue
            key = at(self._bytecode.strings, reader.number())
            values = reader.numbers()
            if key == _NAME_KEY and len(values) == 1:
                return self._text(values[0])
        return ""

    def _list(self, place: int) -> list[int]:
        reader = self._attribute(place)
        code = reader.number()
        if code != _LIST:
            raise FileRejected(f"The program has an attribute of kind {code} in place of a list.")
        return reader.numbers()

    def _text(self, place: int) -> str:
        reader = self._attribute(place)
        code = reader.number()
        if code != _TEXT:
            raise FileRejected(f"The program has an attribute of kind {code} in place of a text.")
        return at(self._bytecode.strings, reader.number())


def makers(graph: Graph) -> Mapping[int, Operation]:
    """Map each value of a graph to the operation that gives it."""
    return {value: item for item in graph.operations for value in item.results}


def short_name(operation: Operation) -> str:
    """Give the name of an operation without dialect, group and version: ``conv2d``."""
    name, _, version = operation.name.rpartition("_v")
    return (name if version.isdigit() else operation.name).rpartition(".")[2]


def _size(size: int) -> int:
    if size == _DYNAMIC_SIZE:
        return DYNAMIC
    if size < 0:
        raise FileRejected(f"The program has a size of {size}.")
    return size


def _decode(data: memoryview, declared: TensorType, count: int) -> NDArray[Any]:
    """Decode elements; those of less than 8 bits are packed, or have a byte each."""
    bits, element = declared.bits, declared.element
    if bits < 8 and len(data) == packed_size(count, bits) and len(data) != count:
        return unpack(data, count, bits, is_signed=element.startswith("int"))
    if element == "bool" and len(data) == packed_size(count, 1) and len(data) != count:
        return unpack(data, count, 1, is_signed=False).astype(bool)
    stored = max(bits, 8) // 8
    if len(data) != count * stored:
        raise FileRejected(
            f"A constant of {count} elements of {element} has {len(data)} bytes in the program."
        )
    if element == "bfloat16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    if bits < 8:
        return np.frombuffer(data, np.int8 if element.startswith("int") else np.uint8)
    return np.frombuffer(data, np.dtype("u1" if element == "bool" else element).newbyteorder("<"))
