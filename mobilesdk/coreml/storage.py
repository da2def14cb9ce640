"""How a constant is stored, in the words of `WeightScheme`, read from its chain of operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mobilesdk.core.scheme import Granularity, WeightScheme
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.program import Operation
from mobilesdk.coreml.zeros import describe_zeros

_LINEAR = {
    "constexpr_affine_dequantize": ("quantized_data", "zero_point"),
    "constexpr_blockwise_shift_scale": ("data", "offset"),
    "constexpr_sparse_blockwise_shift_scale": ("nonzero_data", "offset"),
}
_PALETTE = ("constexpr_lut_to_dense", "constexpr_lut_to_sparse")
_FLOAT = {"constexpr_cast": "source_val", "constexpr_sparse_to_dense": "nonzero_data"}


class UndescribedStorage(Exception):
    """A way of storing that no scheme describes; the message says which.

    A reason and no failure: `read_weights` turns it into a problem of the artifact.
    """


def describe(
    constants: Constants, name: str, channel_axis: int | None, values: NDArray[Any]
) -> WeightScheme:
    """Tell how a constant of floats is stored.

    Args:
        constants: Of the function.
        name: Of the constant; it can be decoded.
        channel_axis: Axis of its output channels, as `uses.channel_axis` gives it; None if it is
            not a weight.
        values: Its decoded values.

    Raises:
        UndescribedStorage: Its bits, or the axes along which scales or tables vary, are of no
            scheme.
    """
    chain = {operation.type: operation for operation in constants.chain(name)}
    axis = None if channel_axis is None else channel_axis % values.ndim
    try:
        scheme = _describe_dense(constants, name, chain, axis, values.shape)
    except ValidationError as error:
        reason = error.errors()[0]
        raise UndescribedStorage(str(reason.get("ctx", {}).get("error", reason["msg"]))) from error
    if "constexpr_sparse_to_dense" not in chain:
        return scheme
    outermost = chain["constexpr_sparse_to_dense"]
    zeros = describe_zeros(constants, outermost, channel_axis, values.shape)
    return WeightScheme.model_validate(scheme.model_dump() | zeros)


def vector_size(constants: Constants, name: str) -> int:
    """Give the elements that one index of a palette stands for; 1 for any other storage.

    Args:
        constants: Of the function.
        name: Of the constant; it can be decoded.

    Raises:
        UndescribedStorage: A palette has no table.
    """
    for operation in constants.chain(name):
        if operation.type in _PALETTE:
            table = _needed(constants, operation, "lut")
            return table.shape[-1] if table.ndim > 1 else 1
    return 1


def _describe_dense(
    constants: Constants,
    name: str,
    chain: dict[str, Operation],
    channel_axis: int | None,
    shape: tuple[int, ...],
) -> WeightScheme:
    for op_type in _PALETTE:
        if op_type in chain:
            return _palette(constants, chain[op_type], channel_axis, shape)
    for op_type in _LINEAR:
        if op_type in chain:
            return _linear(constants, chain[op_type], channel_axis, shape)
    for op_type, parameter in _FLOAT.items():
        if op_type in chain:
            return WeightScheme(bits=constants.element(chain[op_type], parameter).bits)
    return WeightScheme(bits=constants.declared(name).element.bits)


def _needed(constants: Constants, operation: Operation, parameter: str) -> NDArray[Any]:
    values = constants.argument(operation, parameter)
    if values is None:
        raise UndescribedStorage(f"{operation.type} without {parameter}")
    return values


def _linear(
    constants: Constants, operation: Operation, channel_axis: int | None, shape: tuple[int, ...]
) -> WeightScheme:
    data, offset = _LINEAR[operation.type]
    element = constants.element(operation, data)
    if element.is_float:
        raise UndescribedStorage(f"{operation.type} of {element} data")
    scales = _needed(constants, operation, "scale").shape
    if not scales:
        scales = (1,) * len(shape)
    elif operation.type == "constexpr_affine_dequantize":
        axis = int(_needed(constants, operation, "axis")) % len(shape)
        scales = tuple(size if i == axis else 1 for i, size in enumerate(shape))
    middle = 0 if element.is_signed else 1 << (element.bits - 1)
    offsets = constants.argument(operation, offset)
    granularity, block_size = _blocks(scales, shape, channel_axis)
    return WeightScheme(
        encoding="linear",
        bits=element.bits,
        symmetric=bool(np.all(offsets == middle)) if offsets is not None else middle == 0,
        granularity=granularity,
        block_size=block_size,
    )


def _blocks(
    scales: tuple[int, ...], shape: tuple[int, ...], channel_axis: int | None
) -> tuple[Granularity, int | None]:
    varying = [axis for axis, count in enumerate(scales) if count > 1]
    whole = [axis for axis in varying if scales[axis] == shape[axis]]
    if not varying:
        return "per_tensor", None
    if channel_axis is None and whole:
        channel_axis = whole[0]
    blocked = [axis for axis in varying if axis != channel_axis]
    every_channel = channel_axis is not None and scales[channel_axis] == shape[channel_axis]
    if len(blocked) > 1 or not every_channel:
        raise UndescribedStorage(f"scales of shape {scales} for a weight of shape {shape}")
    if not blocked:
        return "per_channel", None
    return "per_block", shape[blocked[0]] // scales[blocked[0]]


def _palette(
    constants: Constants, operation: Operation, channel_axis: int | None, shape: tuple[int, ...]
) -> WeightScheme:
    table = _needed(constants, operation, "lut")
    entries = table.size if table.ndim == 1 else table.shape[-2]
    bits = (entries - 1).bit_length()
    base = WeightScheme(encoding="palette", bits=bits, table_bits=_table_bits(constants, operation))
    counts = table.shape[:-2] if table.ndim > 1 else ()
    varying = [axis for axis, count in enumerate(counts) if count > 1]
    if not varying:
        return base
    if len(varying) > 1 or channel_axis not in (None, varying[0]):
        raise UndescribedStorage(f"tables of shape {table.shape} for a weight of shape {shape}")
    group_size = shape[varying[0]] // counts[varying[0]]
    if group_size == 1:
        return base.model_copy(update={"granularity": "per_channel"})
    return base.model_copy(update={"granularity": "per_group", "group_size": group_size})


def _table_bits(constants: Constants, operation: Operation) -> Any:
    """Give the bits of a table's integers; None for a table of floats.

    Raises:
        UndescribedStorage: They are integers of another width than 8.
    """
    table = operation.inputs.get("lut", ())
    if not table or not isinstance(table[0], str):
        return None
    source = constants.operation(table[0])
    if source.type != "constexpr_blockwise_shift_scale":
        return None
    element = constants.element(source, "data")
    if element.is_float or element.bits != 8:
        raise UndescribedStorage(f"tables of {element}")
    return element.bits
