"""Decode the weights of a ``.tflite`` file: which they are, how they are stored, their values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.tflite import Quantization, Subgraph, Tensor

_PLAIN = {"float32": "<f4", "float16": "<f2", "int8": "i1", "uint8": "u1", "int16": "<i2"}
_PACKED = {"int4": 4, "int2": 2}
_BITS = {"int8": 8, "uint8": 8, "int16": 16, **_PACKED}
# Axis of the output channels, of the ops that can have one scale for each.
_CHANNEL_AXIS = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 3,
    "EMBEDDING_LOOKUP": 0,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 0,
}


@dataclass(frozen=True)
class StoredWeight:
    """A constant of at least two axes that holds real numbers.

    Attributes:
        tensor: The constant itself, as stored.
        index: Its place among the tensors of the subgraph.
        op: Type of the first op that takes it; where a DEQUANTIZE stands between the two, of the op
            behind that; empty if nothing takes it.
        scales: The tensor with the scales of a blockwise weight.
    """

    tensor: Tensor
    index: int
    op: str
    scales: Tensor | None = None

    @property
    def channel_axis(self) -> int:
        """Axis of the output channels."""
        return _CHANNEL_AXIS.get(self.op, 0)

    @property
    def size_bytes(self) -> int:
        """Stored bytes with scales and zero points."""
        size = 0 if self.tensor.data is None else self.tensor.data.nbytes
        if self.tensor.quantization is not None:
            size += self.tensor.quantization.scales.nbytes
            size += self.tensor.quantization.zero_points.nbytes
        if self.scales is not None and self.scales.data is not None:
            size += self.scales.data.nbytes
        return size

    def scheme(self) -> WeightScheme:
        """Tell how it is stored."""
        quantization = self.tensor.quantization
        if quantization is None:
            return WeightScheme(bits=16 if self.tensor.dtype == "float16" else 32)
        bits = _BITS[self.tensor.dtype]
        symmetric = not quantization.zero_points.any()
        if quantization.block_size:
            return WeightScheme(
                encoding="linear",
                bits=bits,
                symmetric=symmetric,
                granularity="per_block",
                block_size=quantization.block_size,
            )
        one_channel = self.op in _CHANNEL_AXIS and self.tensor.shape[self.channel_axis] == 1
        per_channel = quantization.scales.size > 1 or one_channel
        return WeightScheme(
            encoding="linear",
            bits=bits,
            symmetric=symmetric,
            granularity="per_channel" if per_channel else "per_tensor",
        )

    def values(self) -> NDArray[np.float32]:
        """Decode it.

        Raises:
            FileRejected: Scales and shape contradict each other.
        """
        stored = _elements(self.tensor)
        quantization = self.tensor.quantization
        if quantization is None:
            return stored.astype(np.float32)
        scales, zero_points = self._expanded(quantization)
        decoded: NDArray[np.float32] = stored.astype(np.float32) - zero_points.astype(np.float32)
        decoded *= scales
        return decoded

    def _expanded(self, quantization: Quantization) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give scales and zero points in shapes that broadcast against the weight."""
        shape = self.tensor.shape
        if quantization.block_size:
            return self._block_scales(quantization.block_size), np.zeros(1)
        count = quantization.scales.size
        if quantization.zero_points.size not in (0, 1, count):
            raise FileRejected(f"Weight {self.tensor.name!r} has scales without zero points.")
        zero_points = quantization.zero_points if quantization.zero_points.size else np.zeros(1)
        if count == 1:
            return quantization.scales, zero_points
        axis = quantization.axis
        if not 0 <= axis < len(shape) or shape[axis] != count:
            raise FileRejected(
                f"Weight {self.tensor.name!r} of shape {list(shape)} has {count} scales along "
                f"axis {axis}."
            )
        spread = [1] * len(shape)
        spread[axis] = count
        if zero_points.size == count:
            zero_points = zero_points.reshape(spread)
        return quantization.scales.reshape(spread), zero_points

    def _block_scales(self, block_size: int) -> NDArray[np.float32]:
        shape = self.tensor.shape
        if self.scales is None or self.scales.data is None or shape[-1] % block_size:
            raise FileRejected(f"Weight {self.tensor.name!r} has no scales for its blocks.")
        scales = _elements(self.scales).astype(np.float32).ravel()
        if scales.size * block_size != math.prod(shape):
            raise FileRejected(
                f"Weight {self.tensor.name!r} of shape {list(shape)} has {scales.size} scales for "
                f"blocks of {block_size}."
            )
        return np.repeat(scales, block_size).reshape(shape)


def stored_weights(subgraph: Subgraph) -> Iterator[StoredWeight]:
    """Give every weight of a subgraph whose bytes are there and can be decoded."""
    block_scales = {
        tensor.quantization.scale_tensor
        for tensor in subgraph.tensors
        if tensor.quantization is not None and tensor.quantization.block_size
    }
    consumers = weight_consumers(subgraph)
    for index, tensor in enumerate(subgraph.tensors):
        if index in block_scales or not is_weight(tensor):
            continue
        scales = None
        if tensor.quantization is not None and tensor.quantization.block_size:
            scales = subgraph.tensors[tensor.quantization.scale_tensor]
        yield StoredWeight(tensor, index, consumers.get(index, ""), scales)


def shared_weights(subgraphs: Sequence[Subgraph]) -> list[dict[int, StoredWeight]]:
    """Give the weights of several subgraphs, each with the subgraphs that have it.

    Subgraphs share a weight if they take the same bytes in the same way. What one subgraph takes
    twice is given twice.

    Returns:
        For each weight: index of a subgraph → the weight there.
    """
    found: dict[tuple[object, ...], dict[int, StoredWeight]] = {}
    for number, subgraph in enumerate(subgraphs):
        counts: Counter[tuple[object, ...]] = Counter()
        for weight in stored_weights(subgraph):
            stored = _storage(weight)
            found.setdefault((stored, counts[stored]), {})[number] = weight
            counts[stored] += 1
    return list(found.values())


def _storage(weight: StoredWeight) -> tuple[object, ...]:
    """Tell where the bytes of a weight are, and all that says what they mean."""
    tensor = weight.tensor
    parts = [tensor.data, weight.scales.data if weight.scales is not None else None]
    places = [None if data is None else data.ctypes.data for data in parts]
    if tensor.quantization is None:
        return (*places, tensor.shape, tensor.dtype, weight.op)
    quantization = tensor.quantization
    scales, zero_points = quantization.scales.tobytes(), quantization.zero_points.tobytes()
    grid = (scales, zero_points, quantization.axis, quantization.block_size)
    return (*places, tensor.shape, tensor.dtype, weight.op, *grid)


def is_weight(tensor: Tensor) -> bool:
    """Tell whether a tensor is a constant of at least two axes that holds real numbers."""
    if tensor.data is None or tensor.sparse or len(tensor.shape) < 2 or min(tensor.shape) < 1:
        return False
    if tensor.quantization is None:
        return tensor.dtype in ("float32", "float16")
    return tensor.dtype in _BITS


def weight_consumers(subgraph: Subgraph) -> dict[int, str]:
    """Map each tensor to the type of the first op that takes it, seen through DEQUANTIZE."""
    first: dict[int, str] = {}
    dequantized: dict[int, int] = {}
    for operator in subgraph.operators:
        for index in operator.inputs:
            first.setdefault(index, operator.type)
        if operator.type == "DEQUANTIZE":
            dequantized[operator.inputs[0]] = operator.outputs[0]
    return {
        index: first.get(dequantized[index], "") if op == "DEQUANTIZE" else op
        for index, op in first.items()
    }


def _elements(tensor: Tensor) -> NDArray[Any]:
    """Give the stored numbers in the shape of the tensor, packed ones unpacked to int8."""
    if tensor.data is None:
        raise FileRejected(f"Tensor {tensor.name!r} has no bytes.")
    if tensor.dtype in _PACKED:
        unpacked = _unpack(tensor.data, _PACKED[tensor.dtype], math.prod(tensor.shape))
        return unpacked.reshape(tensor.shape)
    if tensor.dtype not in _PLAIN:
        raise FileRejected(f"Tensor {tensor.name!r} of {tensor.dtype} holds no weights or scales.")
    return tensor.data.view(_PLAIN[tensor.dtype]).reshape(tensor.shape)


def _unpack(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.int8]:
    """Unpack signed integers, the first in the lowest bits of a byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = ((data[:, None] >> shifts) & ((1 << bits) - 1)).ravel()[:count].astype(np.int8)
    return np.where(fields >= 1 << (bits - 1), fields - (1 << bits), fields).astype(np.int8)
