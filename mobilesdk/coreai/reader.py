"""A bounds-checked reader of the integers and sections that MLIR bytecode is made of.

References:
    https://mlir.llvm.org/docs/BytecodeFormat/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from mobilesdk.errors import FileRejected

PADDING = 0xCB
MAX_ALIGNMENT = 1 << 16
_ALIGNED = 0x80
_LONG_BYTES = 9

Item = TypeVar("Item")


class Reader:
    """Reads bytes in turn; whatever would lie outside of them raises `FileRejected`."""

    def __init__(self, data: memoryview, start: int = 0) -> None:
        """Read from the first byte on.

        Args:
            data: What is read.
            start: Where it begins in the file; alignments count from there.
        """
        self._data = data
        self._start = start
        self._place = 0

    @property
    def at_end(self) -> bool:
        """Whether every byte was read."""
        return self._place >= len(self._data)

    @property
    def position(self) -> int:
        """Where the next byte lies in the file."""
        return self._start + self._place

    def byte(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def take(self, size: int) -> memoryview:
        """Read some bytes."""
        if size > len(self._data) - self._place:
            raise FileRejected(
                f"MLIR bytecode is damaged: {size} bytes at {self.position} lie outside the file."
            )
        self._place += size
        return self._data[self._place - size : self._place]

    def number(self) -> int:
        """Read an unsigned integer; zero bits at its low end tell how many bytes follow."""
        first = self.byte()
        if first & 1:
            return first >> 1
        size = (first & -first).bit_length() if first else _LONG_BYTES
        self._place -= 1
        value = int.from_bytes(self.take(size), "little")
        return value >> 8 if size == _LONG_BYTES else value >> size

    def signed(self) -> int:
        """Read an integer whose lowest bit is its sign."""
        value = self.number()
        return (value >> 1) ^ -(value & 1)

    def flagged(self) -> tuple[int, bool]:
        """Read an unsigned integer whose lowest bit is a flag."""
        value = self.number()
        return value >> 1, bool(value & 1)

    def numbers(self) -> list[int]:
        """Read a count, and as many unsigned integers."""
        return [self.number() for _ in range(self.number())]

    def text(self) -> str:
        """Read text up to a zero byte."""
        end = bytes(self._data[self._place :]).find(0)
        if end < 0:
            raise FileRejected("MLIR bytecode is damaged: a text has no end.")
        text = decode(self.take(end))
        self.take(1)
        return text

    def align(self, alignment: int) -> None:
        """Skip padding up to a multiple of the alignment in the file."""
        if not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            raise FileRejected(f"MLIR bytecode is damaged: an alignment of {alignment} bytes.")
        while self.position % alignment:
            if self.byte() != PADDING:
                raise FileRejected(f"MLIR bytecode is damaged: no padding at {self.position}.")

    def section(self) -> tuple[int, Reader]:
        """Read a section: the number of its kind, and a reader of its content."""
        kind = self.byte()
        size = self.number()
        if kind & _ALIGNED:
            self.align(self.number())
        start = self.position
        return kind & ~_ALIGNED, Reader(self.take(size), start)

    def rest(self) -> memoryview:
        """Read all that is left."""
        return self.take(len(self._data) - self._place)


def decode(data: memoryview) -> str:
    """Give bytes as text.

    Raises:
        FileRejected: They are no UTF-8.
    """
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise FileRejected(f"MLIR bytecode is damaged: {error}.") from error


def at(items: Sequence[Item], place: int) -> Item:
    """Give an entry of a table.

    Raises:
        FileRejected: There is none at this place.
    """
    if not 0 <= place < len(items):
        raise FileRejected(f"MLIR bytecode is damaged: entry {place} of {len(items)}.")
    return items[place]


def write_number(value: int) -> bytes:
    """Write an unsigned integer as `Reader.number` reads it."""
    size = max(-(-value.bit_length() // 7), 1)
    if size >= _LONG_BYTES:
        return b"\0" + value.to_bytes(8, "little")
    return (((value << 1) | 1) << (size - 1)).to_bytes(size, "little")
