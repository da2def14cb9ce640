"""How a constant is stored: decoded values, the scheme in our words, and the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mobilesdk.core.scheme import Granularity, WeightScheme
from mobilesdk.coreai.program import CONSTANT, Program, short_name
from mobilesdk.coreai.tree import Operation
from mobilesdk.errors import FileRejected

_LINEAR, _PALETTE = "blockwise_shift_scale", "lut_to_dense"
_SPARSE, _DENSE, _CAST = "build_sparse_with_bitmask", "sparse_with_bitmask_to_dense", "cast"
_OPERANDS = {_LINEAR: 4, _PALETTE: 3, _SPARSE: 2, _DENSE: 1, _CAST: 1}


@dataclass(frozen=True)
class Stored:
    """A constant.

    Attributes:
        values: Decoded.
        scheme: How it is stored.
        size_bytes: In the file, with scales, tables and masks.
        vector_size: Elements that one index of a palette stands for; 1 for any other storage.
    """

    values: NDArray[Any]
    scheme: WeightScheme
    size_bytes: int
    vector_size: int = 1


class Constants:
    """The constants of a graph, and the operations that decode them."""

    def __init__(self, program: Program, makers: Mapping[int, Operation]) -> None:
        """Look at the operations of a graph.

        Args:
            program: That the graph is in.
            makers: Value → operation that gives it.
        """
        self._program = program
        self._makers = makers
        self._constant: dict[int, bool] = {}
        for value, operation in makers.items():  # in order: operands come first
            self._constant[value] = operation.name == CONSTANT or (
                short_name(operation) in _OPERANDS
                and all(self._constant.get(item, False) for item in operation.operands)
            )

    def __contains__(self, value: int) -> bool:
        """Tell whether a value is a constant, plain or decoded."""
        return self._constant.get(value, False)

    def __iter__(self) -> Iterator[int]:
        """Give the numbers of all constants."""
        return (value for value, constant in self._constant.items() if constant)

    def are_integers(self, value: int) -> bool:
        """Tell whether a constant is stored as integers with scales."""
        return short_name(self._makers[value]) == _LINEAR

    def read(self, value: int, channel_axis: int | None) -> Stored:
        """Decode a constant.

        Args:
            value: Its number.
            channel_axis: Axis of its output channels; None if it is not a weight.

        Raises:
            FileRejected: It is damaged, or stored in a way that is of no scheme.
        """
        operation = self._makers[value]
        if operation.name == CONSTANT:
            values = self._program.constant(operation)
            return Stored(values, _plain(values), self._program.stored_bytes(operation))
        kind = short_name(operation)
        if len(operation.operands) != _OPERANDS[kind]:
            raise FileRejected(f"{kind} takes {len(operation.operands)} values.")
        given = [self.read(item, channel_axis) for item in operation.operands]
        decode = {
            _LINEAR: self._linear,
            _PALETTE: self._palette,
            _SPARSE: self._sparse,
            _DENSE: self._same,
            _CAST: self._cast,
        }[kind]
        try:
            found = decode(operation, given, channel_axis)
        except (ValidationError, ValueError, IndexError) as error:
            raise FileRejected(f"{kind}: {error}") from error
        return replace(found, size_bytes=sum(item.size_bytes for item in given))

    def _bits(self, value: int) -> tuple[int, bool]:
        """Give the bits of an element, and whether it is an integer with a sign."""
        declared = self._program.type_of(value)
        if declared is None or "int" not in declared.element:
            raise FileRejected("Compressed values are no integers.")
        return declared.bits, declared.element.startswith("int")

    def _linear(self, operation: Operation, given: list[Stored], channel: int | None) -> Stored:
        data, scale, zero_point, least = (item.values for item in given)
        bits, is_signed = self._bits(operation.operands[0])
        middle = 0 if is_signed else 1 << (bits - 1)
        granularity, block_size = _blocks(scale.shape, data.shape, channel)
        steps = data.astype(scale.dtype) - _spread(zero_point, data.shape).astype(scale.dtype)
        values = steps * _spread(scale, data.shape) + _spread(least, data.shape)
        scheme = WeightScheme(
            encoding="linear",
            bits=bits,
            symmetric=bool(np.all(zero_point == middle) and not np.any(least)),
            granularity=granularity,
            block_size=block_size,
            sparsity=given[0].scheme.sparsity,
        )
        return Stored(values, scheme, 0)

    def _palette(self, operation: Operation, given: list[Stored], channel: int | None) -> Stored:
        indices, table = given[0].values, given[1].values
        bits, _ = self._bits(operation.operands[0])
        entries, vector_size = table.shape[-2:]
        if entries != 1 << bits or table.ndim != indices.ndim + 2:
            raise FileRejected(f"A table of {list(table.shape)} for indices of {bits} bits.")
        if vector_size != 1:
            raise FileRejected("An index that stands for several elements is not known here.")
        counts = table.shape[:-2]
        tables = _spread(np.arange(prod(counts)).reshape(counts), indices.shape)
        values = table.reshape(-1, entries)[tables, indices]
        granularity, group_size = _groups(counts, indices.shape, channel)
        scheme = WeightScheme(
            encoding="palette", bits=bits, granularity=granularity, group_size=group_size
        )
        return Stored(values, scheme, 0)

    def _sparse(self, _: Operation, given: list[Stored], __: int | None) -> Stored:
        data, mask = given[0].values, given[1].values.astype(bool)
        values = np.zeros(mask.shape, data.dtype)
        values[mask] = data
        zeros = mask.size - int(np.count_nonzero(mask))
        share = min(zeros / max(mask.size, 1), float(np.nextafter(1.0, 0.0)))
        return Stored(values, given[0].scheme.model_copy(update={"sparsity": share}), 0)

    def _same(self, _: Operation, given: list[Stored], __: int | None) -> Stored:
        return given[0]

    def _cast(self, operation: Operation, given: list[Stored], _: int | None) -> Stored:
        declared = self._program.type_of(operation.results[0])
        if declared is None or declared.bits < 8 or declared.element == "bfloat16":
            raise FileRejected("A constant is converted to a type that is not known.")
        return replace(given[0], values=given[0].values.astype(declared.element))


def _plain(values: NDArray[Any]) -> WeightScheme:
    return WeightScheme(bits=16 if values.dtype == np.float16 else 32)


def _spread(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Repeat values along every axis until they have a shape."""
    if values.ndim != len(shape) or any(
        not few or many % few for few, many in zip(values.shape, shape, strict=True)
    ):
        raise FileRejected(f"Values of shape {list(values.shape)} for a weight of {list(shape)}.")
    split = [
        size for few, many in zip(values.shape, shape, strict=True) for size in (few, many // few)
    ]
    whole = values.reshape([size for few in values.shape for size in (few, 1)])
    return np.broadcast_to(whole, split).reshape(shape)


def _blocks(
    scales: tuple[int, ...], shape: tuple[int, ...], channel: int | None
) -> tuple[Granularity, int | None]:
    varying = [axis for axis, count in enumerate(scales) if count > 1]
    if not varying:
        return "per_tensor", None
    whole = [axis for axis in varying if scales[axis] == shape[axis]]
    if channel is None and whole:
        channel = whole[0]
    blocked = [axis for axis in varying if axis != channel]
    if len(blocked) > 1 or channel not in whole:
        raise FileRejected(f"Scales of shape {list(scales)} for a weight of {list(shape)}.")
    if not blocked:
        return "per_channel", None
    return "per_block", shape[blocked[0]] // scales[blocked[0]]


def _groups(
    counts: tuple[int, ...], shape: tuple[int, ...], channel: int | None
) -> tuple[Granularity, int | None]:
    varying = [axis for axis, count in enumerate(counts) if count > 1]
    if not varying:
        return "per_tensor", None
    if len(varying) > 1 or channel not in (None, varying[0]):
        raise FileRejected(f"{prod(counts)} tables for a weight of {list(shape)}.")
    group_size = shape[varying[0]] // counts[varying[0]]
    return ("per_group", group_size) if group_size > 1 else ("per_channel", None)
