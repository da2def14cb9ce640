"""The zeros of a sparse constant, in the words of `WeightScheme`, read from its mask."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.axes import input_axis
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.dtypes import ElementType, unpack
from mobilesdk.coreml.program import Operation

_BLOCK_SIZES = (64, 32, 16, 8, 4, 2)
_OF = (2, 4, 8, 16)
_SLACK = 0.2  # zeros beyond those of a pattern: rounding adds some; an accident has more


def describe_zeros(
    constants: Constants, operation: Operation, channel_axis: int | None, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Tell which share of a constant its mask leaves out, and in which pattern.

    Args:
        constants: Of the function.
        operation: ``constexpr_sparse_to_dense``; it can be decoded.
        channel_axis: Axis of the output channels, as `uses.channel_axis` gives it; None if the
            constant is not a weight, so that no pattern is looked for.
        shape: Of the constant.

    Returns:
        ``sparsity``, and ``kept`` or ``sparse_block_size``, as in `WeightScheme`.
    """
    mask = _mask(constants, operation, shape)
    share = min(1.0 - np.count_nonzero(mask) / max(mask.size, 1), np.nextafter(1.0, 0.0))
    found: dict[str, Any] = {"sparsity": float(share)}
    if channel_axis is None or share <= 0:
        return found
    inputs = input_axis(channel_axis) % mask.ndim
    rows = np.moveaxis(mask, (channel_axis % mask.ndim, inputs), (0, 1))
    rows = rows.reshape(*rows.shape[:2], -1)
    block_size = next(_uniform_blocks(rows), None)
    if block_size is not None:
        return found | {"sparse_block_size": block_size}
    patterns = sorted((kept / of, of, kept) for of, kept in _most_kept(rows))
    if patterns and share - (1 - patterns[0][0]) <= _SLACK:
        found["kept"] = (patterns[0][2], patterns[0][1])
    return found


def _mask(constants: Constants, operation: Operation, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    stored: Any = constants.argument(operation, "mask")
    if stored.shape != shape:  # packed, in iOS 16
        stored = unpack(stored.tobytes(), ElementType.UINT1, prod(shape)).reshape(shape)
    mask: NDArray[np.bool_] = stored != 0
    return mask


def _uniform_blocks(rows: NDArray[np.bool_]) -> Iterator[int]:
    """Give the sizes of blocks of output channels that are kept or left out as a whole."""
    for size in _BLOCK_SIZES:
        if len(rows) % size == 0:
            blocks = rows.reshape(-1, size, *rows.shape[1:])
            if (blocks.all(1) == blocks.any(1)).all():
                yield size


def _most_kept(rows: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Give, for groups of so many input channels, how many are kept at most, if not all are."""
    channels, inputs = rows.shape[:2]
    for of in _OF:
        if inputs % of == 0:
            kept = int(rows.reshape(channels, inputs // of, of, -1).sum(2).max())
            if 0 < kept < of:
                yield of, kept
