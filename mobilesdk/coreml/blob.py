"""Weight files of ML Programs (``weight.bin``, MILBlob storage version 2)."""

from __future__ import annotations

import mmap
import struct
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mobilesdk.coreml.dtypes import ElementType, packed_size, unpack
from mobilesdk.errors import FileRejected

SENTINEL = 0xDEADBEEF
RECORD_BYTES = 64
_HEADER = struct.Struct("<II")  # number of records, storage version
_RECORD = struct.Struct("<IIQQQ")  # sentinel, type, size in bytes, offset of the data, unused bits
_VERSION = 2
_ALIGNMENT_BYTES = 64
_TYPES = {
    1: ElementType.FLOAT16,
    2: ElementType.FLOAT32,
    3: ElementType.UINT8,
    4: ElementType.INT8,
    6: ElementType.INT16,
    7: ElementType.UINT16,
    8: ElementType.INT4,
    9: ElementType.UINT1,
    10: ElementType.UINT2,
    11: ElementType.UINT4,
    12: ElementType.UINT3,
    13: ElementType.UINT6,
    14: ElementType.INT32,
    15: ElementType.UINT32,
}


class BlobFile:
    """A weight file, mapped into memory; nothing is copied until a constant is read."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            FileRejected: It is too short or of another version.
        """
        self._name = path.name
        if path.stat().st_size < RECORD_BYTES:
            raise FileRejected(f"{self._name} is shorter than its header.")
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._data = memoryview(self._map)
        _, version = _HEADER.unpack_from(self._data)
        if version != _VERSION:
            raise FileRejected(f"{self._name} has storage version {version}, not {_VERSION}.")

    def read(self, offset: int, element: ElementType, shape: tuple[int, ...]) -> NDArray[Any]:
        """Decode one constant.

        Args:
            offset: Of its record, in bytes.
            element: Declared type.
            shape: Declared shape.

        Returns:
            Shape as declared, dtype ``element.numpy``.

        Raises:
            FileRejected: No record is there, or it does not hold what is declared.
        """
        size, start = self._record(offset, element, prod(shape))
        data = self._data[start : start + size]
        return unpack(data, element, prod(shape)).reshape(shape)

    def release(self) -> None:
        """Give the pages that were read back to the system; they are read again when needed."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def _record(self, offset: int, element: ElementType, count: int) -> tuple[int, int]:
        where = f"{self._name}, record at {offset}"
        if not RECORD_BYTES <= offset <= len(self._data) - RECORD_BYTES:
            raise FileRejected(f"{where}: outside the file ({len(self._data)} bytes).")
        if offset % _ALIGNMENT_BYTES:
            raise FileRejected(f"{where}: not aligned to {_ALIGNMENT_BYTES} bytes.")
        sentinel, number, size, start, unused_bits = _RECORD.unpack_from(self._data, offset)
        if sentinel != SENTINEL:
            raise FileRejected(f"{where}: begins with {sentinel:#010x}, not {SENTINEL:#010x}.")
        if _TYPES.get(number) is not element:
            stored = _TYPES.get(number, f"type {number}")
            raise FileRejected(f"{where}: holds {stored} where {element} is declared.")
        if size != packed_size(element, count):
            raise FileRejected(f"{where}: {size} bytes do not hold {count} elements of {element}.")
        if unused_bits != size * 8 - count * element.bits:
            raise FileRejected(f"{where}: {unused_bits} unused bits are declared.")
        if start > len(self._data) or size > len(self._data) - start:
            raise FileRejected(f"{where}: its data reach past the end of the file.")
        return size, start
