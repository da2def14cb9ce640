"""Faults in how constants are stored: too large, of no weight, skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from mobilesdk.coreml.axes import input_axis
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.constexpr import is_constexpr
from mobilesdk.coreml.dtypes import packed_size
from mobilesdk.coreml.program import Operation
from mobilesdk.coreml.uses import Use, channel_axis
from mobilesdk.coreml.wiring import Wiring

SMALL = 2048
"""Constants with fewer elements are left alone: nobody gains or loses by how they are stored."""

_NAMED = 5
_KEPT_IN_VAIN = 0.99


def larger_than_dense(wiring: Wiring) -> Iterator[str]:
    """Pruning that zeroed nothing keeps all values and adds a mask; tables can outgrow indices."""
    for use in filter(wiring.is_compressed, wiring.uses):
        dense, stored = _dense_bytes(wiring, use), wiring.constants.stored_bytes(use.name)
        if prod(wiring.shape(use)) >= SMALL and stored > dense:
            yield (
                f"{use.name} ({use.operation.type}): compressed to {stored} bytes, "
                f"more than the {dense} that it takes uncompressed."
            )


def masked_in_vain(wiring: Wiring) -> Iterator[str]:
    """Pruning that zeroed nothing, before quantization: smaller than dense, and not sparse."""
    for use in filter(wiring.is_compressed, wiring.uses):
        size, kept = prod(wiring.shape(use)), _kept(wiring, use)
        outgrown = wiring.constants.stored_bytes(use.name) > _dense_bytes(wiring, use)
        if size >= SMALL and kept is not None and kept > _KEPT_IN_VAIN * size and not outgrown:
            yield (
                f"{use.name} ({use.operation.type}): stored as sparse, but its mask keeps {kept} "
                f"of {size} values."
            )


def _dense_bytes(wiring: Wiring, use: Use) -> int:
    return packed_size(wiring.constants.declared(use.name).element, prod(wiring.shape(use)))


def _kept(wiring: Wiring, use: Use) -> int | None:
    """Give the number of values that the mask of a sparse constant keeps; None if it has none."""
    outermost = wiring.constants.operation(use.name)
    if outermost.type != "constexpr_sparse_to_dense":
        return None
    values = wiring.argument(outermost, "nonzero_data")
    return None if values is None else values.size


def compressed_operands(wiring: Wiring) -> Iterator[str]:
    """Quantizers compress folded constants, positions for example, along an axis of no meaning."""
    for use in filter(wiring.is_compressed, wiring.uses):
        takers = [
            end.operation.type
            for end in wiring.end_uses(use.name)
            if channel_axis(end, wiring.constants) is None
        ]
        if takers:
            yield (
                f"{use.name} ({', '.join(dict.fromkeys(takers))}): compressed, but it is an "
                "operand and no weight of a layer."
            )


def skipped_weights(wiring: Wiring) -> Iterator[str]:
    """Quantizers skip a weight whose channels do not divide by block, group or vector."""
    for what, count_axis, sizes in (
        ("blocks", _block_axis, _sizes(wiring, _block_axis)),
        ("groups", output_axis, _sizes(wiring, output_axis)),
        ("vectors", output_axis, _vector_sizes(wiring)),
    ):
        skipped = [
            use
            for use in wiring.uses
            if not wiring.is_compressed(use)
            and prod(wiring.shape(use)) >= SMALL
            and (axis := count_axis(use, wiring.constants)) is not None
            and any(wiring.shape(use)[axis] % size for size in sizes)
        ]
        if skipped:
            names = ", ".join(use.name for use in skipped[:_NAMED])
            more = f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
            yield (
                f"{len(skipped)} weight(s) are not compressed, and their channels do not divide "
                f"into {what} of {', '.join(map(str, sorted(sizes)))} like those that are: "
                f"{names}{more}."
            )


def output_axis(use: Use, constants: Constants) -> int | None:
    """Give the axis of the output channels, from the first; None for what is no weight."""
    axis = channel_axis(use, constants)
    rank = len(constants.declared(use.name).static_shape())
    return None if axis is None or rank < 2 else axis % rank


def _block_axis(use: Use, constants: Constants) -> int | None:
    """Give the axis of the input channels, from the first; None for what is no weight."""
    axis = channel_axis(use, constants)
    rank = len(constants.declared(use.name).static_shape())
    return None if axis is None or rank < 2 else input_axis(axis) % rank


def _sizes(wiring: Wiring, count_axis: Callable[[Use, Constants], int | None]) -> frozenset[int]:
    """Give the sizes of blocks or groups that compressed weights are divided into along an axis."""
    found = set()
    for use in filter(wiring.is_compressed, wiring.uses):
        axis = count_axis(use, wiring.constants)
        counts = _counts(wiring, use)
        size = wiring.shape(use)[axis] if axis is not None else 0
        if axis is not None and counts is not None and 1 < counts[axis] < size:
            found.add(size // counts[axis])
    return frozenset(found)


def _vector_sizes(wiring: Wiring) -> frozenset[int]:
    """Give the numbers of output channels that one index of a palette stands for."""
    compressed = filter(wiring.is_compressed, wiring.uses)
    chains = (wiring.constants.chain(use.name) for use in compressed)
    tables = [_argument_shape(wiring, item, "lut") for chain in chains for item in chain]
    return frozenset(shape[-1] for shape in tables if shape and len(shape) > 1 and shape[-1] > 1)


def _counts(wiring: Wiring, use: Use) -> tuple[int, ...] | None:
    """Give the number of scales or of tables along each axis of a constant."""
    rank = len(wiring.shape(use))
    for operation in wiring.constants.chain(use.name):
        for parameter, inner in (("lut", 2), ("scale", 0)):
            shape = _argument_shape(wiring, operation, parameter)
            if shape is not None and len(shape) == rank + inner:
                return shape[:rank]
    return None


def _argument_shape(wiring: Wiring, operation: Operation, parameter: str) -> tuple[int, ...] | None:
    if parameter not in operation.inputs or not is_constexpr(operation.type):
        return None
    values = wiring.argument(operation, parameter)
    return None if values is None else values.shape
