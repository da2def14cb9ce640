"""Decoding of compressed constants (``constexpr_*`` operations of iOS 16 and iOS 18), bit-exact.

Each operation is a `Decoder`: ``faults`` tells what contradicts itself in its arguments, ``decode``
gives its results, one array per result. Arithmetic runs in the type of the result, as Core ML's own
decompression does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.dtypes import ElementType, packed_size, unpack
from mobilesdk.errors import FileRejected

Array = NDArray[Any]
Arguments = Mapping[str, Array]

# Arguments that are texts.
TEXTS = frozenset({"output_dtype"})
_INDICES = {
    1: ElementType.UINT1,
    2: ElementType.UINT2,
    3: ElementType.UINT3,
    4: ElementType.UINT4,
    6: ElementType.UINT6,
    8: ElementType.UINT8,
}


@dataclass(frozen=True)
class Decoder:
    """How one kind of compressed constant is checked and decoded."""

    required: frozenset[str]
    optional: frozenset[str]
    faults: Callable[[Arguments], list[str]]
    decode: Callable[[Arguments], tuple[Array, ...]]


def is_constexpr(op_type: str) -> bool:
    """Tell whether an operation is a compressed constant."""
    return op_type.startswith("constexpr_")


def is_constant(op_type: str) -> bool:
    """Tell whether an operation is a constant, compressed or not."""
    return op_type == "const" or is_constexpr(op_type)


def decoder(op_type: str, arguments: Mapping[str, object]) -> Decoder:
    """Find the decoder; the iOS 16 and iOS 18 forms of one name differ in their arguments.

    Raises:
        FileRejected: No form of the operation has these arguments.
    """
    names = frozenset(arguments)
    for candidate in _DECODERS.get(op_type, ()):
        if candidate.required <= names <= candidate.required | candidate.optional:
            return candidate
    given = ", ".join(sorted(names)) or "no arguments"
    raise FileRejected(f"ML Program: {op_type} with {given} is not known.")


def unknown_in(op_type: str, arguments: Iterable[str]) -> tuple[str, ...]:
    """Name what is not known of a constant: its operation, or arguments of it."""
    if op_type == "const":
        known = frozenset({"val"})
    elif op_type in _DECODERS:
        forms = _DECODERS[op_type]
        known = frozenset().union(*(form.required | form.optional for form in forms))
    else:
        return (f"operation {op_type}",)
    return tuple(f"argument {name} of {op_type}" for name in arguments if name not in known)


def decode(op_type: str, arguments: Arguments) -> tuple[Array, ...]:
    """Decode one compressed constant.

    Args:
        op_type: ``constexpr_…``.
        arguments: Decoded arguments by parameter; scalars as arrays of shape [].

    Returns:
        One array for each result.

    Raises:
        FileRejected: The arguments contradict each other.
    """
    found = decoder(op_type, arguments)
    faults = found.faults(arguments)
    if faults:
        raise FileRejected(f"ML Program: {op_type}: {'; '.join(faults)}.")
    return found.decode(arguments)


def _divides(parts: tuple[int, ...], shape: tuple[int, ...], what: str) -> list[str]:
    if len(parts) != len(shape):
        return [f"{what} of rank {len(parts)} for data of rank {len(shape)}"]
    return [
        f"axis {axis} of {size} elements does not divide into {count} blocks of {what}"
        for axis, (count, size) in enumerate(zip(parts, shape, strict=True))
        if count < 1 or size % count
    ]


def _spread(parts: Array, shape: tuple[int, ...]) -> Array:
    """Repeat each element of ``parts`` over its block until the shape is ``shape``."""
    for axis, size in enumerate(shape):
        if parts.shape[axis] not in (1, size):
            parts = np.repeat(parts, size // parts.shape[axis], axis)
    return parts


def _shift_scale_faults(shape: tuple[int, ...], arguments: Arguments) -> list[str]:
    scale, offset = arguments["scale"], arguments.get("offset")
    faults = _divides(scale.shape, shape, "scales")
    if offset is not None and offset.shape != scale.shape:
        faults.append(f"offsets of shape {offset.shape} with scales of shape {scale.shape}")
    return faults


def _shift_scale(data: Array, arguments: Arguments) -> Array:
    scale, offset = arguments["scale"], arguments.get("offset")
    shifted = data.astype(scale.dtype)
    if offset is not None:
        shifted = shifted - _spread(offset, data.shape).astype(scale.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are reported by who reads
        return shifted * _spread(scale, data.shape)


def _mask_faults(data: Array, mask: Array) -> list[str]:
    set_bits = int(np.count_nonzero(mask))
    if data.shape != (set_bits,):
        return [f"a mask with {set_bits} set bits for data of shape {data.shape}"]
    return []


def _scatter(data: Array, mask: Array) -> Array:
    dense = np.zeros(mask.shape, data.dtype)
    dense[mask != 0] = data
    return dense


def _table_faults(shape: tuple[int, ...], indices: Array, arguments: Arguments) -> list[str]:
    table, axis = arguments["lut"], arguments.get("vector_axis")
    faults = _divides(table.shape[:-2], shape, "tables")
    if table.ndim < 2 or (indices.size and int(indices.max()) >= table.shape[-2]):
        faults.append(f"an index past the end of a table of shape {table.shape}")
    if axis is None and table.shape[-1:] != (1,):
        faults.append("a table of vectors without an axis for them")
    if axis is not None and (axis.shape or not -len(shape) <= int(axis) < len(shape)):
        faults.append("an axis for vectors that the data lack")
    return faults


def _look_up(indices: Array, arguments: Arguments) -> Array:
    table = arguments["lut"]
    tables = table.reshape(-1, *table.shape[-2:])
    numbers = np.arange(len(tables)).reshape(table.shape[:-2])
    vectors = tables[_spread(numbers, indices.shape), indices]
    if table.shape[-1] == 1:
        return vectors[..., 0]
    axis = int(arguments["vector_axis"]) % indices.ndim
    shape = list(indices.shape)
    shape[axis] *= table.shape[-1]
    return np.moveaxis(vectors, -1, axis + 1).reshape(shape)


def _expand_mask(mask: Array, arguments: Arguments) -> Array:
    vector_size = arguments["lut"].shape[-1]
    if vector_size == 1:
        return mask
    return np.repeat(mask, vector_size, int(arguments["vector_axis"]) % mask.ndim)


def _affine_faults(arguments: Arguments) -> list[str]:
    data, axis = arguments["quantized_data"], arguments["axis"]
    if axis.shape or not -data.ndim <= int(axis) < data.ndim:
        return ["an axis that the data lack"]
    length = data.shape[int(axis)]
    return [
        f"{name} of shape {arguments[name].shape} for {length} channels"
        for name in ("scale", "zero_point")
        if arguments[name].shape not in ((), (length,))
    ]


def _affine(arguments: Arguments) -> tuple[Array, ...]:
    data = arguments["quantized_data"]
    shape = [1] * data.ndim
    shape[int(arguments["axis"])] = -1
    scale, zero_point = (
        arguments[name].reshape(shape) if arguments[name].ndim else arguments[name]
        for name in ("scale", "zero_point")
    )
    shifted = data.astype(np.float32) - zero_point.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are reported by who reads
        return ((shifted * scale.astype(np.float32)).astype(scale.dtype),)


def _packed_shape(arguments: Arguments) -> tuple[int, ...]:
    return tuple(int(size) for size in arguments["shape"].ravel())


def _packed_table_faults(arguments: Arguments) -> list[str]:
    table, indices = arguments["lut"], arguments["indices"]
    bits = table.size.bit_length() - 1
    if table.ndim != 1 or bits not in _INDICES or table.size != 1 << bits:
        return [f"a table of shape {table.shape}"]
    expected = packed_size(_INDICES[bits], prod(_packed_shape(arguments)))
    return [] if indices.shape == (expected,) else [f"{indices.size} bytes of indices"]


def _packed_table(arguments: Arguments) -> tuple[Array, ...]:
    table, shape = arguments["lut"], _packed_shape(arguments)
    element = _INDICES[table.size.bit_length() - 1]
    indices = unpack(arguments["indices"].tobytes(), element, prod(shape))
    return (table[indices].reshape(shape),)


def _packed_mask_faults(arguments: Arguments) -> list[str]:
    mask, count = arguments["mask"], prod(_packed_shape(arguments))
    if mask.shape != (packed_size(ElementType.UINT1, count),):
        return [f"{mask.size} bytes of mask for {count} elements"]
    return _mask_faults(arguments["nonzero_data"], np.unpackbits(mask))


def _packed_mask(arguments: Arguments) -> tuple[Array, ...]:
    shape = _packed_shape(arguments)
    mask = unpack(arguments["mask"].tobytes(), ElementType.UINT1, prod(shape))
    return (_scatter(arguments["nonzero_data"], mask.reshape(shape)),)


def _cast_faults(arguments: Arguments) -> list[str]:
    dtype = str(arguments["output_dtype"])
    return [] if dtype == "fp32" else [f"a cast to {dtype}"]


def _lut_to_sparse_faults(arguments: Arguments) -> list[str]:
    mask, data = arguments["indices_mask"], arguments["indices_nonzero_data"]
    return _mask_faults(data, mask) + _table_faults(mask.shape, data, arguments)


def _lut_to_sparse(arguments: Arguments) -> tuple[Array, ...]:
    mask = arguments["indices_mask"]
    dense = _look_up(_scatter(arguments["indices_nonzero_data"], mask), arguments)
    expanded = _expand_mask(mask, arguments)
    return expanded, dense[expanded != 0]


def _sparse_shift_scale_faults(arguments: Arguments) -> list[str]:
    mask = arguments["data_mask"]
    faults = _mask_faults(arguments["nonzero_data"], mask)
    return faults + _shift_scale_faults(mask.shape, arguments)


def _sparse_shift_scale(arguments: Arguments) -> tuple[Array, ...]:
    mask = arguments["data_mask"]
    dense = _shift_scale(_scatter(arguments["nonzero_data"], mask), arguments)
    return mask, dense[mask != 0]


def _decoder(
    required: str,
    faults: Callable[[Arguments], list[str]],
    decode: Callable[[Arguments], tuple[Array, ...]],
    optional: str = "",
) -> Decoder:
    return Decoder(frozenset(required.split()), frozenset(optional.split()), faults, decode)


_CAST = _decoder(
    "source_val output_dtype",
    _cast_faults,
    lambda arguments: (arguments["source_val"].astype(np.float32),),
)
_DECODERS = {
    "constexpr_affine_dequantize": (
        _decoder("quantized_data zero_point scale axis", _affine_faults, _affine),
    ),
    "constexpr_cast": (_CAST,),
    "constexpr_lut_to_dense": (
        _decoder("indices lut shape", _packed_table_faults, _packed_table),
        _decoder(
            "indices lut",
            lambda arguments: _table_faults(
                arguments["indices"].shape, arguments["indices"], arguments
            ),
            lambda arguments: (_look_up(arguments["indices"], arguments),),
            "vector_axis",
        ),
    ),
    "constexpr_sparse_to_dense": (
        _decoder("nonzero_data mask shape", _packed_mask_faults, _packed_mask),
        _decoder(
            "nonzero_data mask",
            lambda arguments: _mask_faults(arguments["nonzero_data"], arguments["mask"]),
            lambda arguments: (_scatter(arguments["nonzero_data"], arguments["mask"]),),
        ),
    ),
    "constexpr_blockwise_shift_scale": (
        _decoder(
            "data scale",
            lambda arguments: _shift_scale_faults(arguments["data"].shape, arguments),
            lambda arguments: (_shift_scale(arguments["data"], arguments),),
            "offset",
        ),
    ),
    "constexpr_lut_to_sparse": (
        _decoder(
            "indices_mask indices_nonzero_data lut",
            _lut_to_sparse_faults,
            _lut_to_sparse,
            "vector_axis",
        ),
    ),
    "constexpr_sparse_blockwise_shift_scale": (
        _decoder(
            "data_mask nonzero_data scale",
            _sparse_shift_scale_faults,
            _sparse_shift_scale,
            "offset",
        ),
    ),
}
