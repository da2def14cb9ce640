"""Decode constants of XNNPACK payloads to float."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.xnnpack import Quantization, Value

_FLOATS = {1: 32, 13: 32, 2: 16, 14: 16}
_PLAIN = {1: "<f4", 13: "<f4", 2: "<f2", 3: "<i1", 4: "<u1", 6: "<i1"}
_BFLOAT16 = 14
_INT4 = (8, 10)
_INT4_ZERO = 8


def scheme_of(value: Value) -> WeightScheme | None:
    """Give the scheme of a constant; ``None`` for one that is no weight (integers, biases)."""
    if value.datatype in _FLOATS:
        return WeightScheme(bits=_FLOATS[value.datatype])
    numbers = value.quantization
    if numbers is None or value.datatype not in (3, 4, 6, *_INT4):
        return None
    bits = 4 if value.datatype in _INT4 else 8
    if numbers.kind == "per_tensor":
        return WeightScheme(encoding="linear", bits=bits, symmetric=numbers.zero_point == 0)
    if numbers.kind == "per_channel":
        return WeightScheme(encoding="linear", bits=bits, granularity="per_channel")
    return WeightScheme(
        encoding="linear", bits=bits, granularity="per_block", block_size=numbers.block_size
    )


def decode(value: Value) -> NDArray[Any]:
    """Give the values that a constant stands for, in its own shape.

    Raises:
        FileRejected: Its bytes or scales do not fit its shape.
    """
    integers = _elements(value)
    if value.quantization is None:
        return integers
    with np.errstate(all="ignore"):  # scales that are not finite show in the decoded values
        return _scaled(integers, value.quantization)


def _elements(value: Value) -> NDArray[Any]:
    data = memoryview(b"") if value.data is None else value.data
    if value.datatype in _INT4:
        return _unpacked(data, value.shape)
    dtype = np.dtype("<u2" if value.datatype == _BFLOAT16 else _PLAIN[value.datatype])
    _require(len(data) == prod(value.shape) * dtype.itemsize, value.shape, len(data))
    elements: NDArray[Any] = np.frombuffer(data, dtype).reshape(value.shape)
    if value.datatype == _BFLOAT16:
        return (elements.astype(np.uint32) << 16).view(np.float32)
    return elements


def _unpacked(data: memoryview, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Unpack 4-bit integers: rows padded to whole bytes, the lower half of a byte first."""
    rows, columns = shape[0] if shape else 0, prod(shape[1:])
    row_bytes = (columns + 1) // 2
    _require(len(data) == rows * row_bytes, shape, len(data))
    packed = np.frombuffer(data, np.uint8).reshape(rows, row_bytes)
    halves = np.stack([packed & 15, packed >> 4], axis=2).reshape(rows, 2 * row_bytes)
    values: NDArray[np.int8] = halves[:, :columns].astype(np.int8) - np.int8(_INT4_ZERO)
    shaped: NDArray[np.int8] = values.reshape(shape)
    return shaped


def _scaled(integers: NDArray[Any], numbers: Quantization) -> NDArray[Any]:
    if numbers.kind == "per_tensor":
        tensor: NDArray[Any] = (integers.astype(np.float32) - numbers.zero_point) * numbers.scales[
            0
        ]
        return tensor
    if numbers.kind == "per_channel":
        _require(0 <= numbers.axis < integers.ndim, integers.shape, numbers.axis)
        fits = numbers.scales.size == integers.shape[numbers.axis]
        _require(fits, integers.shape, numbers.scales.size)
        shape = [1] * integers.ndim
        shape[numbers.axis] = -1
        scaled: NDArray[Any] = integers * numbers.scales.reshape(shape)
        return scaled
    fits = numbers.block_size > 0 and integers.size == numbers.scales.size * numbers.block_size
    _require(fits and integers.size > 0, integers.shape, numbers.scales.size)
    blocks = integers.reshape(-1, numbers.block_size) * numbers.scales.reshape(-1, 1)
    values: NDArray[Any] = blocks.reshape(integers.shape)
    return values


def _require(condition: bool, shape: tuple[int, ...], found: int) -> None:
    if not condition:
        raise FileRejected(
            f"A constant of shape {shape} does not fit its bytes, axis or scales ({found})."
        )
