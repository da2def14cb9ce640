"""Faults in the scales of compressed constants: zero, near zero, along the wrong axis, left out."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml.constexpr import decode, is_constexpr
from mobilesdk.coreml.program import Operation
from mobilesdk.coreml.small_values import NOTICED, SMALLEST_NORMAL, norm
from mobilesdk.coreml.storage_lints import SMALL, output_axis
from mobilesdk.coreml.uses import Use
from mobilesdk.coreml.wiring import Wiring
from mobilesdk.errors import FileRejected

_ROUNDED_TO_ZERO = 2.0**-25  # half of the smallest number of float16
_TABLES = frozenset({"constexpr_lut_to_dense", "constexpr_lut_to_sparse"})
_DIVIDED = frozenset({"conv", "conv_transpose", "linear", "matmul"})


def values_without_scale(wiring: Wiring) -> Iterator[str]:
    """A scale that float16 rounds to zero makes all values of its channel zero.

    Channels that training left near zero have such scales, and nobody misses them: at most, their
    values were their integers times the largest scale that float16 rounds to zero.
    """
    for use, operation, scales in _scaled(wiring):
        codes = _lost_codes(wiring, operation, scales)
        if codes is None or not np.any(codes):
            continue
        values = _decoded(wiring, operation, scales)
        lost = norm(codes) * (_ROUNDED_TO_ZERO if scales.dtype == np.float16 else 1.0)
        if values is not None and lost > NOTICED * np.hypot(lost, norm(values)):
            yield (
                f"{use.name} ({use.operation.type}): {np.count_nonzero(codes)} of {codes.size} "
                "values are lost, because their scale is zero."
            )


def _lost_codes(wiring: Wiring, operation: Operation, scales: NDArray[Any]) -> NDArray[Any] | None:
    """Give the integers, less their offset, that have a scale of zero; zeros in other places.

    Returns:
        None if no scale is zero.
    """
    is_zero = scales == 0
    return _decoded(wiring, operation, is_zero.astype(scales.dtype)) if np.any(is_zero) else None


def values_at_risk(wiring: Wiring) -> Iterator[str]:
    """A scale below the normal range of float16 is zero on a device that has no such numbers."""
    for use, operation, scales in _scaled(wiring):
        tiny = _is_tiny(scales)
        if np.any(tiny):
            values = _decoded(wiring, operation, scales)
            lost = _decoded(wiring, operation, np.where(tiny, scales, np.zeros_like(scales)))
            if values is None or lost is None:
                continue
            share = norm(lost) / max(norm(values), 1e-300)
            if share > NOTICED:
                yield (
                    f"{use.name} ({use.operation.type}): {np.count_nonzero(tiny)} of {scales.size} "
                    "scales lie below the normal range of float16; a device that takes them for "
                    f"zero loses {100 * share:.3g} % of the weight."
                )


def scales_near_zero(wiring: Wiring) -> Iterator[str]:
    """Count the scales that float16 holds with fewer bits, or not at all, and what is lost."""
    found = [each for each in _scaled(wiring) if each[2].dtype == np.float16]
    tiny = sum(int(np.count_nonzero(_is_tiny(scales))) for _, _, scales in found)
    zero = sum(int(np.count_nonzero(scales == 0)) for _, _, scales in found)
    codes = [_lost_codes(wiring, operation, scales) for _, operation, scales in found]
    lost = sum(int(np.count_nonzero(each)) for each in codes if each is not None)
    if tiny or zero:
        total = sum(scales.size for _, _, scales in found)
        lost_too = f"; {lost} values are zero for that" if lost else ""
        yield (
            f"Of {total} scales, {tiny} lie below the normal range of float16, and {zero} are "
            f"zero{lost_too}."
        )


def scales_per_input_channel(wiring: Wiring) -> Iterator[str]:
    """Tables with a scale for each input channel are larger than the weight may be uncompressed."""
    for use in filter(wiring.is_compressed, wiring.uses):
        axis = output_axis(use, wiring.constants)
        if axis is not None and _varies_along_another(wiring, use, axis):
            yield (
                f"{use.name} ({use.operation.type}): its tables are scaled for each input channel; "
                "compress again without enable_per_channel_scale."
            )


def _varies_along_another(wiring: Wiring, use: Use, axis: int) -> bool:
    """Tell whether there is a table, or a scale over tables, for each place along another axis."""
    shape, chain = wiring.shape(use), wiring.constants.chain(use.name)
    table = next((place for place, item in enumerate(chain) if item.type in _TABLES), None)
    if table is None:
        return False
    given = [(wiring.argument(chain[table], "lut"), len(shape) + 2)]
    given += [(wiring.argument(item, "scale"), len(shape)) for item in chain[:table]]
    counts = [each.shape for each, rank in given if each is not None and each.ndim == rank]
    return any(
        count == size > 1 and place != axis
        for each in counts
        for place, (count, size) in enumerate(zip(each, shape, strict=False))
    )


def divided_weights(wiring: Wiring) -> Iterator[str]:
    """A weight that coremltools skips after it divided it: each input channel has the maximum 1."""
    for use in wiring.uses:
        axis = output_axis(use, wiring.constants)
        if axis is None or use.operation.type not in _DIVIDED or wiring.is_compressed(use):
            continue
        values = wiring.constants.read(use.name)
        if prod(wiring.shape(use)) >= SMALL and _is_divided(values, wiring.shape(use), axis):
            yield (
                f"{use.name} ({use.operation.type}): the largest value of each input channel is 1: "
                "divided, and the scales left out; compress again without "
                "enable_per_channel_scale."
            )


def _is_divided(values: NDArray[Any] | tuple[str, ...], shape: tuple[int, ...], axis: int) -> bool:
    if isinstance(values, tuple) or values.shape != shape or values.dtype.kind != "f":
        return False
    sizes = np.abs(values)
    largest = sizes.max(axis=axis)
    between = np.mean((sizes > 0) & (sizes < 1))  # weights of zeros and ones were made so
    return bool(np.all((largest == 1) | (largest == 0)) and between > 0.5)


def _scaled(wiring: Wiring) -> Iterator[tuple[Use, Operation, NDArray[Any]]]:
    """Give the operations of compressed constants that multiply by scales."""
    for use in filter(wiring.is_compressed, wiring.uses):
        for operation in wiring.constants.chain(use.name):
            if is_constexpr(operation.type):
                scales = wiring.argument(operation, "scale")
                if scales is not None and scales.dtype.kind == "f":  # else another check tells
                    yield use, operation, scales


def _is_tiny(scales: NDArray[Any]) -> NDArray[Any]:
    near_zero: NDArray[Any] = (scales != 0) & (np.abs(scales) < SMALLEST_NORMAL)
    return near_zero if scales.dtype == np.float16 else np.zeros(scales.shape, bool)


def _decoded(wiring: Wiring, operation: Operation, scales: NDArray[Any]) -> NDArray[Any] | None:
    """Give what an operation would decode to with other scales; None if it contradicts itself."""
    names = [*operation.inputs, *(name for name in operation.attributes if name != "name")]
    given = {name: wiring.argument(operation, name) for name in names}
    arguments = {name: values for name, values in given.items() if values is not None}
    try:
        return decode(operation.type, arguments | {"scale": scales})[-1]
    except FileRejected:
        return None
