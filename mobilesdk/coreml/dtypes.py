"""Element types of ML Programs: names, widths, numpy equivalents, and sub-byte packing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.errors import FileRejected
from mobilesdk.numerics import packing


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
    return packing.packed_size(count, element.bits)


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
    return packing.unpack(data, count, element.bits, is_signed=element.is_signed)
