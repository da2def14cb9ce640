"""Decoding of compressed constants (``constexpr_*`` operations of iOS 16 and iOS 18), bit-exact.

Each operation is a `Decoder`: ``type_faults`` and ``faults`` tell what contradicts itself in its
arguments, ``decode`` gives its results, one array per result. Arithmetic runs in the type of the
result, as Core ML's own decompression does.
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

_INDICES = {
    1: ElementType.UINT1,
    2: ElementType.UINT2,
    3: ElementType.UINT3,
    4: ElementType.UINT4,
    6: ElementType.UINT6,
    8: ElementType.UINT8,
}
_FLOATS = frozenset({ElementType.FLOAT16, ElementType.FLOAT32})
_CODES = frozenset({ElementType.INT8, ElementType.UINT8})
_STORED = frozenset({ElementType.INT4, ElementType.UINT4, *_CODES, *_FLOATS})
_INDEX_TYPES = frozenset(_INDICES.values())
_MASK, _BYTES = frozenset({ElementType.UINT1}), frozenset({ElementType.UINT8})
_AXIS, _SHAPE = frozenset({ElementType.INT32}), frozenset({ElementType.UINT32})


@dataclass(frozen=True)
class Decoder:
    """How one kind of compressed constant is checked and decoded.

    Attributes:
        required: Parameters, with the element types that MIL allows for each.
        optional: The same of those that may be left out.
        faults: Tells what contradicts itself in the arguments.
        decode: Gives the results.
    """

    required: Mapping[str, frozenset[ElementType]]
    optional: Mapping[str, frozenset[ElementType]]
    faults: Callable[[Arguments], list[str]]
    decode: Callable[[Arguments], tuple[Array, ...]]

    def takes(self, names: frozenset[str]) -> bool:
        """Tell whether it has parameters of these names, and needs no others."""
        return self.required.keys() <= names <= self.required.keys() | self.optional.keys()

    def type_faults(self, elements: Mapping[str, ElementType]) -> list[str]:
        """Tell which arguments are of element types that MIL does not have there."""
        allowed = {**self.required, **self.optional}
        faults = [
            f"{name} of {element}; MIL has {', '.join(sorted(allowed[name]))} there"
            for name, element in elements.items()
            if element not in allowed[name]
        ]
        offset, data = elements.get("offset"), elements.get("data", elements.get("nonzero_data"))
        if not faults and offset not in (None, data) and offset not in _FLOATS:
            faults.append(f"an offset of {offset} for {data} data")
        return faults


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
    for candidate in DECODERS.get(op_type, ()):
        if candidate.takes(names):
            return candidate
    given = ", ".join(sorted(names)) or "no arguments"
    raise FileRejected(f"ML Program: {op_type} with {given} is not known.")


def unknown_in(op_type: str, arguments: Iterable[str]) -> tuple[str, ...]:
    """Name what is not known of a constant: its operation, or arguments of it."""
    if op_type == "const":
        known = frozenset({"val"})
    elif op_type in DECODERS:
        forms = DECODERS[op_type]
        known = frozenset(name for form in forms for name in (*form.required, *form.optional))
    else:
        return (f"operation {op_type}",)
    return tuple(f"argument {name} of {op_type}" for name in arguments if name not in known)


def result_types(op_type: str, elements: Mapping[str, ElementType]) -> tuple[ElementType, ...]:
    """Give the element types of the results for those of the arguments, which have no faults."""
    names = _RESULTS.get(op_type)
    return (ElementType.FLOAT32,) if names is None else tuple(elements[name] for name in names)


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
    if indices.dtype.kind != "u":
        faults.append(f"indices of {indices.dtype}, which have a sign or are no integers")
    elif table.ndim < 2 or (indices.size and int(indices.max()) >= table.shape[-2]):
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


_TABLE_ENTRIES = frozenset((*_CODES, *_FLOATS))
_CAST = Decoder(
    {
        "source_val": frozenset({ElementType.FLOAT16}),
        "output_dtype": frozenset({ElementType.STRING}),
    },
    {},
    _cast_faults,
    lambda arguments: (arguments["source_val"].astype(np.float32),),
)
DECODERS: dict[str, tuple[Decoder, ...]] = {
    "constexpr_affine_dequantize": (
        Decoder(
            {
                "quantized_data": _CODES,
                "zero_point": _CODES | {ElementType.FLOAT32},
                "scale": _FLOATS,
                "axis": _AXIS,
            },
            {},
            _affine_faults,
            _affine,
        ),
    ),
    "constexpr_cast": (_CAST,),
    "constexpr_lut_to_dense": (
        Decoder(
            {"indices": _BYTES, "lut": _TABLE_ENTRIES, "shape": _SHAPE},
            {},
            _packed_table_faults,
            _packed_table,
        ),
        Decoder(
            {"indices": _INDEX_TYPES, "lut": _TABLE_ENTRIES},
            {"vector_axis": _AXIS},
            lambda arguments: _table_faults(
                arguments["indices"].shape, arguments["indices"], arguments
            ),
            lambda arguments: (_look_up(arguments["indices"], arguments),),
        ),
    ),
    "constexpr_sparse_to_dense": (
        Decoder(
            {"nonzero_data": _TABLE_ENTRIES, "mask": _BYTES, "shape": _SHAPE},
            {},
            _packed_mask_faults,
            _packed_mask,
        ),
        Decoder(
            {"nonzero_data": _STORED, "mask": _MASK},
            {},
            lambda arguments: _mask_faults(arguments["nonzero_data"], arguments["mask"]),
            lambda arguments: (_scatter(arguments["nonzero_data"], arguments["mask"]),),
        ),
    ),
    "constexpr_blockwise_shift_scale": (
        Decoder(
            {"data": _STORED, "scale": _FLOATS},
            {"offset": _STORED},
            lambda arguments: _shift_scale_faults(arguments["data"].shape, arguments),
            lambda arguments: (_shift_scale(arguments["data"], arguments),),
        ),
    ),
    "constexpr_lut_to_sparse": (
        Decoder(
            {"indices_mask": _MASK, "indices_nonzero_data": _INDEX_TYPES, "lut": _TABLE_ENTRIES},
            {"vector_axis": _AXIS},
            _lut_to_sparse_faults,
            _lut_to_sparse,
        ),
    ),
    "constexpr_sparse_blockwise_shift_scale": (
        Decoder(
            {"data_mask": _MASK, "nonzero_data": _STORED, "scale": _FLOATS},
            {"offset": _STORED},
            _sparse_shift_scale_faults,
            _sparse_shift_scale,
        ),
    ),
}
# Parameters that the results have the element types of; a cast gives float32.
_RESULTS = {
    "constexpr_affine_dequantize": ("scale",),
    "constexpr_blockwise_shift_scale": ("scale",),
    "constexpr_lut_to_dense": ("lut",),
    "constexpr_lut_to_sparse": ("indices_mask", "lut"),
    "constexpr_sparse_blockwise_shift_scale": ("data_mask", "scale"),
    "constexpr_sparse_to_dense": ("nonzero_data",),
}
