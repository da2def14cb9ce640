"""Element types of ML Programs: names, widths, numpy equivalents, and sub-byte packing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import FileRejected


class ElementType(StrEnum):
    """An element type that this reader can decode; the value is its name in this project."""

    BOOL = "bool"
    STRING = "string"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT4 = "int4"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT1 = "uint1"
    UINT2 = "uint2"
    UINT3 = "uint3"
    UINT4 = "uint4"
    UINT6 = "uint6"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"

    @property
    def bits(self) -> int:
        """Stored bits of one element; 8 for a boolean."""
        if self is ElementType.STRING:
            raise ValueError("text has no fixed width")
        digits = "".join(filter(str.isdigit, self.value))
        return int(digits) if digits else 8

    @property
    def is_signed(self) -> bool:
        """Whether it is an integer type with a sign."""
        return self.value.startswith("int")

    @property
    def is_float(self) -> bool:
        """Whether it is a floating-point type."""
        return self.value.startswith("float")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type that holds decoded elements; 8 bits for narrower ones."""
        if self is ElementType.STRING:
            raise ValueError("text has no numpy type")
        if self.bits < 8:
            return np.dtype(np.int8 if self.is_signed else np.uint8)
        return np.dtype(self.value).newbyteorder("<")


_NUMBERS = {
    1: ElementType.BOOL,
    2: ElementType.STRING,
    10: ElementType.FLOAT16,
    11: ElementType.FLOAT32,
    12: ElementType.FLOAT64,
    21: ElementType.INT8,
    22: ElementType.INT16,
    23: ElementType.INT32,
    24: ElementType.INT64,
    25: ElementType.INT4,
    31: ElementType.UINT8,
    32: ElementType.UINT16,
    33: ElementType.UINT32,
    34: ElementType.UINT64,
    35: ElementType.UINT4,
    36: ElementType.UINT2,
    37: ElementType.UINT1,
    38: ElementType.UINT6,
    39: ElementType.UINT3,
}


def element_type(number: int) -> ElementType:
    """Give the type for a ``DataType`` number of MIL.proto.

    Raises:
        FileRejected: The number stands for no type that is known here (bfloat16 and float8 are
            not).
    """
    if number not in _NUMBERS:
        raise FileRejected(f"ML Program: the element type {number} is not known.")
    return _NUMBERS[number]


def packed_size(element: ElementType, count: int) -> int:
    """Give the bytes that ``count`` elements take when packed."""
    return (count * element.bits + 7) // 8


def unpack(data: bytes | memoryview, element: ElementType, count: int) -> NDArray[Any]:
    """Decode elements packed little-endian, lowest bits first.

    Args:
        data: Exactly `packed_size` bytes.
        element: Their type.
        count: Number of elements.

    Returns:
        Shape [count], dtype ``element.numpy``.

    Raises:
        FileRejected: The data are of another size, or the unused last bits are not 0.
    """
    size = packed_size(element, count)
    if len(data) != size:
        raise FileRejected(f"{count} elements of {element} take {size} bytes, not {len(data)}.")
    if element.bits >= 8:
        return np.frombuffer(data, element.numpy)
    octets = np.frombuffer(data, np.uint8)
    used = count * element.bits % 8
    if used and octets[-1] >> used:
        raise FileRejected(f"{element}: the unused bits after the last element are not 0.")
    values = _split(octets, element.bits)[:count]
    if element.is_signed:
        half = 1 << (element.bits - 1)
        return ((values.astype(np.int8) ^ half) - half).astype(np.int8)
    return values


def _split(octets: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Split bytes into elements of 1, 2, 3, 4 or 6 bits; gives at least all whole elements."""
    mask = np.uint8((1 << bits) - 1)
    if 8 % bits == 0:
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        return ((octets[:, None] >> shifts) & mask).ravel()
    padded = np.zeros(-(-octets.size // 3) * 3, np.uint8)
    padded[: octets.size] = octets
    triples = padded.reshape(-1, 3).astype(np.uint32)
    words = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
    word_shifts = np.arange(0, 24, bits, dtype=np.uint32)
    return ((words[:, None] >> word_shifts) & mask).astype(np.uint8).ravel()


def pack(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Pack unsigned elements, lowest bits first: the inverse of `unpack`.

    Args:
        values: Any shape; each element in ``0 … 2^bits - 1``.
        bits: 1 … 8.

    Returns:
        Shape [ceil(size * bits / 8)].
    """
    planes = np.unpackbits(values.astype(np.uint8).reshape(-1, 1), axis=1, bitorder="little")
    return np.packbits(planes[:, :bits].ravel(), bitorder="little")
