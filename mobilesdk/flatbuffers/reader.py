"""A bounds-checked reader of flatbuffers: tables, scalars, strings, vectors, unions.

The bytes are taken as hostile. Every offset is checked before it is followed, nesting and the
number of tables opened are limited, and any fault raises `FileRejected`. Large vectors come back as
numpy views of the bytes, without a copy.

Fields are named by their place in the schema's table, from 0. A union takes two places: its type
(an unsigned byte), then its value (a table).

Example:
    ::

        model = open_table(map_file(path), identifier=b"TFL3")
        version = model.integer(0, "uint32")
        for subgraph in model.tables(2):
            print(subgraph.string(4), subgraph.array(1, "<i4"))
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import FileRejected

MAX_DEPTH = 64
MAX_TABLES = 1_000_000
MAX_STRING_BYTES = 1 << 20

IntegerKind = Literal["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
RealKind = Literal["float32", "float64"]

_CODECS = {
    "int8": struct.Struct("<b"),
    "uint8": struct.Struct("<B"),
    "int16": struct.Struct("<h"),
    "uint16": struct.Struct("<H"),
    "int32": struct.Struct("<i"),
    "uint32": struct.Struct("<I"),
    "int64": struct.Struct("<q"),
    "uint64": struct.Struct("<Q"),
    "float32": struct.Struct("<f"),
    "float64": struct.Struct("<d"),
}
_OFFSET_BYTES = 4
_VTABLE_HEADER_BYTES = 4


def map_file(path: Path) -> memoryview:
    """Map a file into memory for reading; its pages are loaded when they are looked at.

    Raises:
        FileRejected: It is no file (a folder), or an empty one.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except IsADirectoryError as error:
        raise FileRejected(f"{path.name} is a folder.") from error
    except ValueError as error:
        raise FileRejected(f"{path.name} is empty.") from error


def open_table(data: bytes | memoryview, *, identifier: bytes | None = None) -> Table:
    """Give the root table of a flatbuffer.

    Args:
        data: The whole flatbuffer, from its root offset on.
        identifier: The four bytes that must follow the root offset; ``None`` checks nothing.

    Raises:
        FileRejected: The identifier differs, or the root lies outside the data.
    """
    source = _Source(memoryview(data).cast("B"))
    if identifier is not None:
        found = bytes(source.slice(_OFFSET_BYTES, len(identifier), "file identifier"))
        if found != identifier:
            raise FileRejected(f"File identifier is {found!r}, not {identifier!r}.")
    return source.open(source.follow(0), depth=0)


@dataclass
class _Source:
    """The bytes, and how many tables were opened in them so far."""

    data: memoryview
    opened: int = 0

    def slice(self, start: int, size: int, what: str) -> memoryview:
        if start < 0 or size < 0 or start + size > len(self.data):
            raise FileRejected(
                f"Flatbuffer is damaged: {what} of {size} bytes at {start} lies outside the "
                f"{len(self.data)} bytes."
            )
        return self.data[start : start + size]

    def unpack(self, kind: str, position: int) -> int | float:
        codec = _CODECS[kind]
        value: int | float = codec.unpack(self.slice(position, codec.size, kind))[0]
        return value

    def follow(self, position: int) -> int:
        """Give where the offset stored at ``position`` points to."""
        return position + int(self.unpack("uint32", position))

    def vector(self, position: int, item_bytes: int) -> tuple[int, int]:
        """Give start and number of the items of the vector at ``position``, in bounds."""
        count = int(self.unpack("uint32", position))
        self.slice(position + _OFFSET_BYTES, count * item_bytes, "vector")
        return position + _OFFSET_BYTES, count

    def open(self, position: int, depth: int) -> Table:
        self.opened += 1
        if self.opened > MAX_TABLES:
            raise FileRejected(f"Flatbuffer opens more than {MAX_TABLES} tables.")
        if depth > MAX_DEPTH:
            raise FileRejected(f"Flatbuffer nests deeper than {MAX_DEPTH} tables.")
        vtable = position - int(self.unpack("int32", position))
        vtable_bytes = int(self.unpack("uint16", vtable))
        table_bytes = int(self.unpack("uint16", vtable + 2))
        if vtable_bytes < _VTABLE_HEADER_BYTES or table_bytes < _OFFSET_BYTES:
            raise FileRejected(f"Flatbuffer is damaged: no table at {position}.")
        self.slice(vtable, vtable_bytes, "vtable")
        self.slice(position, table_bytes, "table")
        return Table(self, position, table_bytes, vtable, vtable_bytes, depth)

    def text(self, position: int) -> str:
        start, count = self.vector(position, 1)
        if count > MAX_STRING_BYTES:
            raise FileRejected(f"Flatbuffer holds a string of {count} bytes.")
        try:
            return str(self.data[start : start + count], "utf-8")
        except UnicodeDecodeError as error:
            raise FileRejected(f"Flatbuffer holds a string that is no UTF-8: {error}.") from error


@dataclass(frozen=True)
class Table:
    """One table. A field that the file leaves out gives its default.

    Every method that follows a field raises `FileRejected` if the field points outside the data.
    """

    _source: _Source
    _position: int
    _table_bytes: int
    _vtable: int
    _vtable_bytes: int
    _depth: int

    def has(self, field: int) -> bool:
        """Tell whether the file stores the field."""
        return self._place(field, 1) is not None

    def integer(self, field: int, kind: IntegerKind, default: int = 0) -> int:
        """Give an integer or enumeration field."""
        place = self._place(field, _CODECS[kind].size)
        return default if place is None else int(self._source.unpack(kind, place))

    def real(self, field: int, kind: RealKind = "float32", default: float = 0.0) -> float:
        """Give a floating-point field."""
        place = self._place(field, _CODECS[kind].size)
        return default if place is None else float(self._source.unpack(kind, place))

    def boolean(self, field: int, default: bool = False) -> bool:
        """Give a boolean field."""
        return bool(self.integer(field, "uint8", int(default)))

    def struct(self, field: int, size_bytes: int) -> memoryview | None:
        """Give the bytes of a struct, which lies in the table itself; ``None`` if left out."""
        place = self._place(field, size_bytes)
        return None if place is None else self._source.slice(place, size_bytes, "struct")

    def string(self, field: int, default: str = "") -> str:
        """Give a string field."""
        place = self._place(field, _OFFSET_BYTES)
        return default if place is None else self._source.text(self._source.follow(place))

    def table(self, field: int) -> Table | None:
        """Give a nested table, or the value of a union; ``None`` if left out."""
        place = self._place(field, _OFFSET_BYTES)
        if place is None:
            return None
        return self._source.open(self._source.follow(place), self._depth + 1)

    def tables(self, field: int) -> list[Table]:
        """Give a vector of tables (or of the values of unions); empty if left out."""
        return [self._source.open(item, self._depth + 1) for item in self._items(field)]

    def strings(self, field: int) -> list[str]:
        """Give a vector of strings; empty if left out."""
        return [self._source.text(item) for item in self._items(field)]

    def array(self, field: int, dtype: str | np.dtype[Any]) -> NDArray[Any]:
        """Give a vector of scalars or structs as a read-only view of the data.

        Args:
            field: Its place in the table.
            dtype: Little-endian numpy dtype of one item, structured for structs.
        """
        item = np.dtype(dtype)
        place = self._place(field, _OFFSET_BYTES)
        if place is None:
            return np.empty(0, item)
        start, count = self._source.vector(self._source.follow(place), item.itemsize)
        view = np.frombuffer(self._source.data, item, count, start)
        view.flags.writeable = False
        return view

    def data(self, field: int) -> memoryview:
        """Give a vector of bytes as a read-only view of the data; empty if left out."""
        return self.array(field, "u1").data

    def _items(self, field: int) -> list[int]:
        """Give where the items of a vector of offsets lie."""
        place = self._place(field, _OFFSET_BYTES)
        if place is None:
            return []
        start, count = self._source.vector(self._source.follow(place), _OFFSET_BYTES)
        if count > MAX_TABLES:
            raise FileRejected(f"Flatbuffer holds a vector of {count} tables.")
        places = range(start, start + count * _OFFSET_BYTES, _OFFSET_BYTES)
        return [self._source.follow(item) for item in places]

    def _place(self, field: int, size_bytes: int) -> int | None:
        """Give where a field of ``size_bytes`` lies; ``None`` if the file leaves it out."""
        entry = _VTABLE_HEADER_BYTES + 2 * field
        if entry + 2 > self._vtable_bytes:
            return None
        offset = int(self._source.unpack("uint16", self._vtable + entry))
        if offset == 0:
            return None
        if offset + size_bytes > self._table_bytes:
            raise FileRejected(f"Flatbuffer is damaged: field {field} lies outside its table.")
        return self._position + offset
