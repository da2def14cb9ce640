"""The protobuf wire format: a bounded reader, and the few writers that rewriting needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import FileRejected

MAX_DEPTH = 100
MAX_FIELDS = 1_000_000

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT_BYTES = 10


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned varint; give its value (below 2^64) and the position after it.

    Raises:
        FileRejected: The data end inside it, or it is longer than 64 bits.
    """
    value = 0
    for count in range(_MAX_VARINT_BYTES):
        if position >= len(data):
            raise FileRejected("protobuf: the data end inside a number.")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, position
    raise FileRejected("protobuf: a number is longer than 64 bits.")


def write_varint(value: int) -> bytes:
    """Write an unsigned varint in its shortest form."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_bytes(number: int, content: bytes) -> bytes:
    """Write a length-delimited field: a string, bytes or a message."""
    return write_varint(number << 3 | LENGTH) + write_varint(len(content)) + content


def iterate(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Walk the fields of one message: number, wire type, value.

    A varint is given as its unsigned value; any other field as the bytes of its content.

    Raises:
        FileRejected: A field is cut off, of an unknown wire type, or one too many.
    """
    position = 0
    for _ in range(MAX_FIELDS):
        if position == len(data):
            return
        key, position = read_varint(data, position)
        number, wire_type = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise FileRejected(f"protobuf: {number} is no field number.")
        if wire_type == VARINT:
            value, position = read_varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == LENGTH:
            size, position = read_varint(data, position)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise FileRejected(f"protobuf: field {number} has the unknown wire type {wire_type}.")
        if size > len(data) - position:
            raise FileRejected(f"protobuf: field {number} reaches past the end of its message.")
        yield number, wire_type, data[position : position + size]
        position += size
    raise FileRejected(f"protobuf: a message has more than {MAX_FIELDS} fields.")


def signed(value: int) -> int:
    """Read an unsigned 64-bit number as two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


class Message:
    """One message, its fields by number; nested messages are read when asked for.

    A field that occurs twice where the schema has one is rejected: readers disagree on its meaning.
    """

    def __init__(self, data: bytes | memoryview, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise FileRejected(f"protobuf: messages are nested deeper than {MAX_DEPTH}.")
        self._depth = depth
        self._fields: dict[int, list[tuple[int, int | memoryview]]] = {}
        for number, wire_type, value in iterate(memoryview(data)):
            self._fields.setdefault(number, []).append((wire_type, value))

    def has(self, number: int) -> bool:
        """Tell whether the field occurs."""
        return number in self._fields

    def numbers(self) -> list[int]:
        """Give the numbers of the fields that occur, sorted."""
        return sorted(self._fields)

    def contents(self, number: int) -> list[memoryview]:
        """Give the bytes of each occurrence of a length-delimited field."""
        return [self._content(number, item) for item in self._fields.get(number, [])]

    def content(self, number: int) -> memoryview | None:
        """Give the bytes of a singular length-delimited field; None if it does not occur."""
        item = self._single(number)
        return None if item is None else self._content(number, item)

    def integer(self, number: int, default: int = 0) -> int:
        """Give a singular int32, int64, uint64, enum or bool field, as two's complement."""
        item = self._single(number)
        if item is None:
            return default
        if item[0] != VARINT or isinstance(item[1], memoryview):
            raise FileRejected(f"protobuf: field {number} is not a number.")
        return signed(item[1])

    def text(self, number: int, default: str = "") -> str:
        """Give a singular string field."""
        content = self.content(number)
        return default if content is None else _decode(content)

    def texts(self, number: int) -> list[str]:
        """Give a repeated string field."""
        return [_decode(content) for content in self.contents(number)]

    def message(self, number: int) -> Message | None:
        """Give a singular message field; None if it does not occur."""
        content = self.content(number)
        return None if content is None else Message(content, self._depth + 1)

    def messages(self, number: int) -> list[Message]:
        """Give a repeated message field."""
        return [Message(content, self._depth + 1) for content in self.contents(number)]

    def mapping(self, number: int) -> dict[str, Message]:
        """Give a map field with string keys and message values, sorted by key."""
        found: dict[str, Message] = {}
        for entry in self.messages(number):
            key = entry.text(1)
            if key in found:
                raise FileRejected(f"protobuf: the key {key!r} occurs twice in a map.")
            found[key] = entry.message(2) or Message(b"", self._depth + 2)
        return dict(sorted(found.items()))

    def integers(self, number: int) -> NDArray[np.int64]:
        """Give a repeated integer field, packed or not, as two's complement; shape [n]."""
        values: list[int] = []
        for wire_type, value in self._fields.get(number, []):
            if isinstance(value, int):
                values.append(signed(value))
            elif wire_type == LENGTH:
                values += _packed_varints(value)
            else:
                raise FileRejected(f"protobuf: field {number} is not a list of integers.")
        return np.array(values, dtype=np.int64)

    def floats(self, number: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Give a repeated float or double field, packed or not; shape [n].

        Args:
            number: Field number.
            dtype: ``np.float32`` for a float field, ``np.float64`` for a double field.
        """
        little = np.dtype(dtype).newbyteorder("<")
        expected = FIXED32 if little.itemsize == 4 else FIXED64
        parts = []
        for wire_type, value in self._fields.get(number, []):
            wrong = isinstance(value, int) or wire_type not in (LENGTH, expected)
            if wrong or len(value) % little.itemsize:  # type: ignore[arg-type] # wrong covers int
                raise FileRejected(f"protobuf: field {number} is not a list of floats.")
            parts.append(np.frombuffer(value, little))  # type: ignore[arg-type] # the same
        return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)

    def _single(self, number: int) -> tuple[int, int | memoryview] | None:
        items = self._fields.get(number, [])
        if len(items) > 1:
            raise FileRejected(f"protobuf: field {number} occurs {len(items)} times, not once.")
        return items[0] if items else None

    @staticmethod
    def _content(number: int, item: tuple[int, int | memoryview]) -> memoryview:
        wire_type, value = item
        if wire_type != LENGTH or isinstance(value, int):
            raise FileRejected(f"protobuf: field {number} is neither text nor a message.")
        return value


def _packed_varints(data: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = read_varint(data, position)
        values.append(signed(value))
    return values


def _decode(content: memoryview) -> str:
    try:
        return bytes(content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileRejected("protobuf: a text is not UTF-8.") from error
