"""Integers of less than 8 bits, packed little-endian, lowest bits first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed_size(count: int, bits: int) -> int:
    """Give the bytes that `count` elements of `bits` bits take when packed."""
    return (count * bits + 7) // 8


def unpack(data: bytes | memoryview, count: int, bits: int, *, is_signed: bool) -> NDArray[Any]:
    """Decode packed integers.

    Args:
        data: `packed_size` bytes; the unused last bits are not looked at.
        count: Number of elements.
        bits: Of an element: 1, 2, 3, 4 or 6.
        is_signed: Whether its highest bit is a sign.

    Returns:
        Shape [count], int8 or uint8.
    """
    values = _split(np.frombuffer(data, np.uint8), bits)[:count]
    if is_signed:
        half = 1 << (bits - 1)
        return ((values.astype(np.int8) ^ half) - half).astype(np.int8)
    return values


def pack(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Pack unsigned elements: the inverse of `unpack`.

    Args:
        values: Any shape; each element in ``0 … 2^bits - 1``.
        bits: 1 … 8.

    Returns:
        Shape [ceil(size * bits / 8)].
    """
    planes = np.unpackbits(values.astype(np.uint8).reshape(-1, 1), axis=1, bitorder="little")
    return np.packbits(planes[:, :bits].ravel(), bitorder="little")


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
