"""Small ``.pte`` files made by hand, so that reading them needs no toolchain.

A table is a list of fields. A field is a `Scalar`, a `Vector`, a string, a table, `Tables`, or
``None`` where the file leaves it out. Children are written behind their parents.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scalar:
    """A number in a table; ``code`` as in `struct`."""

    code: str
    value: float


@dataclass(frozen=True)
class Vector:
    """A vector of numbers or bytes."""

    data: bytes
    count: int


@dataclass(frozen=True)
class Tables:
    """A vector of tables."""

    items: tuple[list[object], ...]


def integers(code: str, *values: int) -> Vector:
    """Give a vector of integers."""
    return Vector(struct.pack(f"<{len(values)}{code}", *values), len(values))


def flatbuffer(root: list[object], identifier: bytes = b"\0\0\0\0", header: bytes = b"") -> bytes:
    """Write a root table; ``header`` goes between the identifier and the tables."""
    builder = _Builder(bytearray(8) + bytearray(header))
    start = builder.table(root)
    struct.pack_into("<I4s", builder.data, 0, start, identifier)
    return bytes(builder.data)


class _Builder:
    def __init__(self, data: bytearray) -> None:
        self.data = data

    def table(self, fields: list[object]) -> int:
        self._align(8)
        vtable = len(self.data)
        self.data += bytes(4 + 2 * len(fields))
        self._align(8)
        start = len(self.data)
        table_bytes = 8 + 8 * len(fields)
        self.data += bytes(table_bytes)
        struct.pack_into("<HH", self.data, vtable, 4 + 2 * len(fields), table_bytes)
        struct.pack_into("<i", self.data, start, start - vtable)
        for place, field in enumerate(fields):
            if field is not None:
                struct.pack_into("<H", self.data, vtable + 4 + 2 * place, 8 + 8 * place)
                self._fill(start + 8 + 8 * place, field)
        return start

    def _fill(self, place: int, field: object) -> None:
        if isinstance(field, Scalar):
            struct.pack_into(f"<{field.code}", self.data, place, field.value)
        else:
            struct.pack_into("<I", self.data, place, self._child(field) - place)

    def _child(self, field: object) -> int:
        if isinstance(field, list):
            return self.table(field)
        if isinstance(field, Tables):
            return self._tables(field)
        if isinstance(field, str):
            encoded = field.encode()
            return self._vector(Vector(encoded, len(encoded)))
        assert isinstance(field, Vector)
        return self._vector(field)

    def _vector(self, vector: Vector) -> int:
        self._align(8, lead=4)
        start = len(self.data)
        self.data += struct.pack("<I", vector.count) + vector.data + b"\0"
        return start

    def _tables(self, tables: Tables) -> int:
        self._align(4)
        start = len(self.data)
        self.data += struct.pack("<I", len(tables.items)) + bytes(4 * len(tables.items))
        for place, item in enumerate(tables.items):
            slot = start + 4 + 4 * place
            struct.pack_into("<I", self.data, slot, self.table(list(item)) - slot)
        return start

    def _align(self, size: int, lead: int = 0) -> None:
        self.data += bytes(-(len(self.data) + lead) % size)


def u32(value: int) -> Scalar:
    return Scalar("I", value)


def i32(value: int) -> Scalar:
    return Scalar("i", value)


def union(kind: int, value: list[object]) -> list[object]:
    """Give the two fields of a union."""
    return [Scalar("B", kind), value]


def tensor(code: int, *shape: int, buffer: int = 0) -> list[object]:
    """Give a tensor of a program."""
    held = [Scalar("b", code), None, integers("i", *shape), None, None, u32(buffer)]
    return union(5, held)


def value(
    identifier: int, datatype: int, *shape: int, constant: int = 0, argument: int = 2**32 - 1
) -> list[object]:
    """Give a value of an XNNPACK graph, without its union."""
    return [
        Scalar("h", datatype),
        u32(len(shape)),
        integers("I", *shape),
        u32(constant),
        u32(argument),
        None,
        u32(identifier),
    ]


def program(
    weight: bytes,
    datatype: int,
    shape: tuple[int, ...],
    quantization: list[object] | None = None,
    scales: bytes = b"",
    *,
    dynamic: bool = False,
) -> bytes:
    """Give a file whose one delegate multiplies an input with a constant.

    Args:
        weight: Bytes of the constant.
        datatype: Of the constant, in the words of the XNNPACK schema.
        shape: Of the constant.
        quantization: Fields of its union of scales (kind, table).
        scales: Bytes that the scales lie in, as constant 2.
        dynamic: Whether the input is rounded to int8 first, with a range found at run time.
    """
    held = value(1, datatype, *shape, constant=1)
    stored = union(1, held) if quantization is None else union(2, [held, *quantization])
    taken, given = value(0, 1, 1, 4, argument=0), value(2, 1, 1, 3, argument=1)
    multiply = union(2, [u32(3 if dynamic else 0), u32(1), u32(2**32 - 1), u32(2)])
    rounded = union(2, [value(3, 9, 1, 4), *union(3, [i32(1)])])
    convert = union(18, [u32(0), u32(3)])
    values = (union(1, taken), stored, union(1, given))
    graph = flatbuffer(
        [
            None,
            Tables((convert, multiply) if dynamic else (multiply,)),
            Tables((*values, rounded) if dynamic else values),
            None,
            None,
            None,
            None,
            None,
            Tables(
                (
                    [],
                    [Scalar("Q", 2**64 - 1), Scalar("Q", len(weight)), "weight"],
                    [Scalar("Q", 2**64 - 1), Scalar("Q", len(scales)), "scales"],
                )
            ),
        ],
        b"XN01",
    )
    payload = struct.pack("<4x4sHIIIQ2x", b"XH00", 30, 32, len(graph), 32 + len(graph), 0) + graph
    plan = [
        "forward",
        None,
        Tables((tensor(6, 1, 4), tensor(6, 1, 3))),
        integers("i", 0),
        integers("i", 1),
        Tables(([None, None, Tables((union(2, [i32(0), integers("i", 0, 1)]),))],)),
        None,
        Tables((["XnnpackBackend", [Scalar("b", 1), u32(0)]],)),
    ]
    parts = [payload, weight, scales]
    offsets = np.cumsum([0, *map(len, parts)])
    root = [
        None,
        Tables((plan,)),
        None,
        None,
        Tables(
            tuple(
                [Scalar("Q", int(offset)), Scalar("Q", len(part))]
                for offset, part in zip(offsets, parts, strict=False)
            )
        ),
        None,
        None,
        Tables((["weight", u32(1)], ["scales", u32(2)])),
    ]
    data = bytearray(flatbuffer(root, b"ET12", bytes(32)))
    header = struct.pack("<4sIQQQ", b"eh00", 32, len(data), len(data), int(offsets[-1]))
    data[8 : 8 + len(header)] = header
    return bytes(data) + b"".join(parts)


def stateful(*, writes: bool = True, starts: bool = True) -> bytes:
    """Give a file with a state, ``cache``, that a copy of the input may be written to.

    Args:
        writes: Whether the copy goes to the state, or to another tensor.
        starts: Whether the state has a first value.
    """
    planned: list[object] = [None, None, None]
    code, shape = Scalar("b", 6), integers("i", 1, 4)
    state = [code, None, shape, None, None, u32(int(starts)), planned, None, None, [None, "cache"]]
    copy = union(1, [i32(0), integers("i", 2, 0, 2 if writes else 1)])
    plan = [
        "forward",
        None,
        Tables((tensor(6, 1, 4), tensor(6, 1, 4), union(5, state))),
        integers("i", 0),
        integers("i", 1),
        Tables(([None, None, Tables((copy,))],)),
        Tables((["aten::copy_", ""],)),
        Tables(()),
    ]
    return flatbuffer([None, Tables((plan,))], b"ET12")
