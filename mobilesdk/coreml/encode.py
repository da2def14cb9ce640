"""Encoding of weights as compressed constants: the inverse of ``constexpr``.

A compressor has left the weight on the grid of its scheme (see `WeightScheme`). The encodings here
find that grid again and are exact: a weight that is not on it is refused, never rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.coreml.limits import limit
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.numerics.packing import pack

GRID_TOLERANCE = 0.01  # share of a step; float32 arithmetic errs by less than 1e-4 at 8 bits


@dataclass(frozen=True)
class Stored:
    """An argument of a compressed constant that is stored: values, and the bits of each.

    Attributes:
        values: Unsigned integers, signed integers, or floats.
        bits: Of one element in the file; below 8 for sub-byte integers.
    """

    values: NDArray[Any]
    bits: int


@dataclass(frozen=True)
class ConstExpr:
    """A compressed constant to be written.

    Attributes:
        op: ``constexpr_…``.
        arguments: By parameter; another compressed constant, whose results (a mask and data) take
            the place of the parameters that ``results`` names.
        inner: Compressed constant that is written first, if any.
        results: Parameters that take the results of ``inner``, in order.
    """

    op: str
    arguments: dict[str, Stored | int | str]
    inner: ConstExpr | None = None
    results: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Layout:
    """How a weight lies in the program.

    Attributes:
        channel_axis: Axis of the output channels.
        block_axis: Axis of the input channels.
        scale_type: Type that the program computes in; scales and tables are stored in it.
        packed: Whether the iOS 16 operations are to be used; else those of iOS 18.
    """

    channel_axis: int
    block_axis: int
    scale_type: Literal["float16", "float32"]
    packed: bool


def encode(weight: NDArray[np.float32], scheme: WeightScheme, layout: Layout) -> ConstExpr | None:
    """Encode a weight by its scheme.

    Args:
        weight: Values on the grid of the scheme, in the program's order of axes.
        scheme: How to store them.
        layout: What the axes are, and what the program takes.

    Returns:
        The compressed constant; None if the scheme is plain numbers in the program's own type.

    Raises:
        CompressionIncomplete: The values are not on the grid of the scheme, or the operations
            cannot store it.
    """
    reason = limit(scheme, 16 if layout.packed else 18)
    if reason:
        raise CompressionIncomplete(f"{reason}.")
    if scheme.encoding == "linear":
        return _linear(weight, scheme, layout)
    if scheme.encoding == "palette":
        return _palette(weight, scheme, layout)
    return _float(weight, scheme, layout)


def _float(weight: NDArray[np.float32], scheme: WeightScheme, layout: Layout) -> ConstExpr | None:
    stored_type = f"float{scheme.bits}"
    own_type = stored_type == layout.scale_type
    if scheme.sparsity:
        mask = _mask(weight, scheme, layout)
        if not own_type:
            raise CompressionIncomplete(
                f"sparse {scheme} in a program that computes in {layout.scale_type}."
            )
        return _sparse(Stored(weight[mask].astype(stored_type), scheme.bits), mask, layout)
    if own_type:
        return None
    if scheme.bits == 32:
        raise CompressionIncomplete("float32 weights in a program that computes in float16.")
    return ConstExpr(
        "constexpr_cast",
        {"source_val": Stored(weight.astype(np.float16), 16), "output_dtype": "fp32"},
    )


def _sparse(data: Stored, mask: NDArray[np.bool_], layout: Layout) -> ConstExpr:
    if layout.packed:
        return ConstExpr(
            "constexpr_sparse_to_dense",
            {
                "nonzero_data": data,
                "mask": Stored(pack(mask, 1), 8),
                "shape": Stored(np.array(mask.shape, np.uint32), 32),
            },
        )
    return ConstExpr(
        "constexpr_sparse_to_dense",
        {"nonzero_data": data, "mask": Stored(mask.astype(np.uint8), 1)},
    )


def _mask(weight: NDArray[np.float32], scheme: WeightScheme, layout: Layout) -> NDArray[np.bool_]:
    """Mark what is stored: all that is not zero, or the blocks that are not all zero.

    A grid may round more elements to zero; within a block that is kept they are stored.
    """
    mask: NDArray[np.bool_] = weight != 0
    if scheme.sparse_block_size is None:
        return mask
    rows = np.moveaxis(mask, layout.channel_axis, 0)
    blocks = rows.reshape(-1, scheme.sparse_block_size, *rows.shape[1:]).any(1)
    return np.moveaxis(blocks.repeat(scheme.sparse_block_size, 0), 0, layout.channel_axis)


def _scatter_into_dense(inner: ConstExpr) -> ConstExpr:
    return ConstExpr("constexpr_sparse_to_dense", {}, inner, ("mask", "nonzero_data"))


def _linear(weight: NDArray[np.float32], scheme: WeightScheme, layout: Layout) -> ConstExpr:
    blocks = _block_view(weight, scheme, layout)
    grid = (_symmetric if scheme.symmetric else _affine)(blocks, scheme.bits)
    codes = grid.codes.reshape(weight.shape)
    scale = _drop_inner(grid.scale).astype(layout.scale_type)
    offset = None if grid.offset is None else _drop_inner(grid.offset)
    if layout.packed:
        return _affine_dequantize(codes, scale, offset, layout)
    arguments: dict[str, Stored | int | str] = {"scale": Stored(scale, scale.itemsize * 8)}
    if offset is not None:
        arguments["offset"] = Stored(offset, scheme.bits)
    if not scheme.sparsity:
        arguments["data"] = Stored(codes, scheme.bits)
        return ConstExpr("constexpr_blockwise_shift_scale", arguments)
    mask = _mask(weight, scheme, layout)
    arguments["data_mask"] = Stored(mask.astype(np.uint8), 1)
    arguments["nonzero_data"] = Stored(codes[mask], scheme.bits)
    return _scatter_into_dense(ConstExpr("constexpr_sparse_blockwise_shift_scale", arguments))


def _block_view(
    weight: NDArray[np.float32], scheme: WeightScheme, layout: Layout
) -> NDArray[np.float32]:
    """Split every axis in two, [blocks, block size], so that one scale serves each block."""
    split: list[int] = []
    for axis, size in enumerate(weight.shape):
        block = size
        if scheme.granularity != "per_tensor" and axis == layout.channel_axis:
            block = 1
        elif scheme.block_size is not None and axis == layout.block_axis:
            block = scheme.block_size
        if size % block:
            raise CompressionIncomplete(f"{size} input channels do not divide by {block}.")
        split += [size // block, block]
    return weight.reshape(split)


def _drop_inner(values: NDArray[Any]) -> NDArray[Any]:
    """Undo the split of `_block_view` for values of which each block has one."""
    return values.reshape(values.shape[::2])


def _inner_axes(blocks: NDArray[Any]) -> tuple[int, ...]:
    return tuple(range(1, blocks.ndim, 2))


@dataclass(frozen=True)
class _Grid:
    codes: NDArray[Any]
    scale: NDArray[np.float32]
    offset: NDArray[np.uint8] | None = None


def _symmetric(blocks: NDArray[np.float32], bits: int) -> _Grid:
    largest = (1 << (bits - 1)) - 1
    scale = np.abs(blocks).max(_inner_axes(blocks), keepdims=True) / np.float32(largest)
    scale[scale == 0] = 1
    codes = _codes(blocks / scale)
    return _Grid(codes.astype(np.int8), scale)


def _affine(blocks: NDArray[np.float32], bits: int) -> _Grid:
    largest = (1 << bits) - 1
    low = np.minimum(blocks.min(_inner_axes(blocks), keepdims=True), 0)
    high = np.maximum(blocks.max(_inner_axes(blocks), keepdims=True), 0)
    scale = (high - low) / np.float32(largest)
    scale[scale == 0] = 1
    offset = np.rint(-low / scale)
    codes = _codes(blocks / scale) + offset
    if codes.min() < 0 or codes.max() > largest:
        raise CompressionIncomplete(f"values outside {bits} bits with an offset.")
    return _Grid(codes.astype(np.uint8), scale, offset.astype(np.uint8))


def _codes(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    codes = np.rint(steps)
    distance = float(np.abs(steps - codes).max(initial=0.0))
    if distance > GRID_TOLERANCE:
        raise CompressionIncomplete(f"values lie up to {distance:.2g} steps off their grid.")
    return codes


def _affine_dequantize(
    codes: NDArray[Any], scale: NDArray[Any], offset: NDArray[Any] | None, layout: Layout
) -> ConstExpr:
    """Store 8 bits for iOS 16: unsigned, since GPU and Neural Engine misread signed ones there."""
    if offset is None:
        codes = (codes.astype(np.int16) + 128).astype(np.uint8)
        offset = np.full(scale.shape, 128, np.uint8)
    per_tensor = scale.size == 1
    return ConstExpr(
        "constexpr_affine_dequantize",
        {
            "quantized_data": Stored(codes, 8),
            "scale": Stored(scale.reshape(() if per_tensor else -1), scale.itemsize * 8),
            "zero_point": Stored(offset.reshape(() if per_tensor else -1), 8),
            "axis": layout.channel_axis,
        },
    )


def _palette(weight: NDArray[np.float32], scheme: WeightScheme, layout: Layout) -> ConstExpr:
    groups = _group_count(weight.shape, scheme, layout)
    everything = np.ones(weight.shape, np.bool_)
    mask = _mask(weight, scheme, layout) if scheme.sparsity else everything
    parts = (np.split(each, groups, layout.channel_axis) for each in (weight, mask))
    tables, indices = zip(
        *(_table(values, kept, scheme.bits) for values, kept in zip(*parts, strict=True)),
        strict=True,
    )
    shape = [1] * weight.ndim
    shape[layout.channel_axis] = groups
    table = np.stack(tables)
    if scheme.table_bits is None:
        table = table.astype(layout.scale_type)
    codes = np.concatenate(indices, layout.channel_axis)
    stored_table = Stored(table.reshape(*shape, table.shape[1], 1), table.itemsize * 8)
    if layout.packed:
        return _packed_table(codes, Stored(table[0], stored_table.bits), scheme.bits)
    arguments: dict[str, Stored | int | str] = {"indices": Stored(codes, scheme.bits)}
    if scheme.sparsity:
        arguments = {
            "indices_mask": Stored(mask.astype(np.uint8), 1),
            "indices_nonzero_data": Stored(codes[mask], scheme.bits),
        }
    looked_up = ConstExpr(
        f"constexpr_lut_to_{'sparse' if scheme.sparsity else 'dense'}",
        arguments if scheme.table_bits else arguments | {"lut": stored_table},
        _integer_tables(stored_table.values, scheme, layout) if scheme.table_bits else None,
        ("lut",) if scheme.table_bits else (),
    )
    return _scatter_into_dense(looked_up) if scheme.sparsity else looked_up


def _integer_tables(tables: NDArray[np.float32], scheme: WeightScheme, layout: Layout) -> ConstExpr:
    """Store tables as integers, with a scale for each, in the order that iOS 18 loads.

    The tables are turned to floats before they are looked up.
    """
    bits = scheme.table_bits or 8
    largest = (1 << (bits - 1)) - 1
    scale = np.abs(tables).max((-2, -1), keepdims=True) / np.float32(largest)
    scale[scale == 0] = 1
    codes = _codes(tables / scale).astype(np.int8)
    scale = scale.astype(layout.scale_type)
    return ConstExpr(
        "constexpr_blockwise_shift_scale",
        {"data": Stored(codes, bits), "scale": Stored(scale, scale.itemsize * 8)},
    )


def _group_count(shape: tuple[int, ...], scheme: WeightScheme, layout: Layout) -> int:
    channels = shape[layout.channel_axis]
    if scheme.granularity == "per_tensor":
        return 1
    group_size = scheme.group_size or 1
    if channels % group_size:
        raise CompressionIncomplete(f"{channels} output channels do not divide by {group_size}.")
    return channels // group_size


def _table(
    values: NDArray[np.float32], kept: NDArray[np.bool_], bits: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Give the distinct values that are kept, padded to 2^bits, and the index of each."""
    entries = np.unique(values[kept])
    size = 1 << bits
    if entries.size > size:
        raise CompressionIncomplete(f"{entries.size} distinct values for a table of {size}.")
    codes = np.minimum(np.searchsorted(entries, values), max(entries.size - 1, 0)).astype(np.uint8)
    padding = np.full(size - entries.size, entries[-1] if entries.size else 0, np.float32)
    return np.concatenate([entries, padding]).astype(np.float32), codes


def _packed_table(codes: NDArray[np.uint8], table: Stored, bits: int) -> ConstExpr:
    return ConstExpr(
        "constexpr_lut_to_dense",
        {
            "indices": Stored(pack(codes, bits), 8),
            "lut": table,
            "shape": Stored(np.array(codes.shape, np.uint32), 32),
        },
    )
