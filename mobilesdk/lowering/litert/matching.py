"""Find which constants of a float ``.tflite`` file are which weights of the model, by value.

A converter permutes the axes of weights and renames them; it may multiply them by a neighbouring
scale. Sorted values tell the first kind for certain. The second is recognised by its ratio.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.scheme import WeightScheme
from mobilesdk.flatbuffers.tflite_weights import StoredWeight

_RATIO_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Match:
    """Where one weight of the model is in the file.

    Attributes:
        constants: The constants that hold it; more than one where the converter copied it.
        folded: The converter multiplied it by something: its values in the file.
        is_part: The converter took the rows out of it that all runs take.
    """

    constants: tuple[StoredWeight, ...]
    folded: NDArray[np.float32] | None = None
    is_part: bool = False


@dataclass(frozen=True)
class Matches:
    """Which constants are which weights.

    Attributes:
        weights: Name → where it is; a weight that was not found is left out.
        sums: Names of two weights → the constant that the converter added them up to.
        others: Constants that are no weight of the model.
    """

    weights: dict[str, Match]
    sums: dict[tuple[str, str], StoredWeight]
    others: tuple[StoredWeight, ...]


def match_weights(
    weights: Mapping[str, NDArray[Any]], constants: Sequence[StoredWeight]
) -> Matches:
    """Match weights with constants. Weights of equal values are taken in order.

    Args:
        weights: Name → values in the layout of torch.
        constants: Of the float file.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for name, values in weights.items():
        names[_digest(values)].append(name)
    places: dict[str, list[StoredWeight]] = defaultdict(list)
    for constant in constants:
        places[_digest(constant.values())].append(constant)
    found: dict[str, Match] = {}
    for digest, group in names.items():
        held = places.pop(digest, [])
        if len(group) == 1 and held:
            found[group[0]] = Match(tuple(held))
        elif held:
            for position, name in enumerate(group):
                found[name] = Match((held[min(position, len(held) - 1)],))
    left = [constant for held in places.values() for constant in held]
    for name, values in weights.items():
        if name not in found:
            found.update(_folded(name, values, left))
    missing = {name: values for name, values in weights.items() if name not in found}
    sums = dict(_sums(missing, left))
    for name, values in missing.items():
        found.update(_part(name, values, left))
    return Matches(found, sums, tuple(left))


def _sums(
    missing: Mapping[str, NDArray[Any]], left: list[StoredWeight]
) -> Iterator[tuple[tuple[str, str], StoredWeight]]:
    """Find constants that two weights were added up to: ``(x + a) + b`` became ``x + (a + b)``."""
    for first, second in combinations(missing, 2):
        if missing[first].shape != missing[second].shape:
            continue
        total = missing[first] + missing[second]
        for constant in list(left):
            values = constant.values()
            if values.shape == total.shape and np.array_equal(values, total):
                left.remove(constant)
                yield (first, second), constant


def _part(name: str, values: NDArray[Any], left: list[StoredWeight]) -> dict[str, Match]:
    """Find the constant that has consecutive rows of a weight, as of positions in a text."""
    for constant in left:
        if _holds(values, constant.values()):
            left.remove(constant)
            return {name: Match((constant,), is_part=True)}
    return {}


def _holds(values: NDArray[Any], part: NDArray[np.float32]) -> bool:
    """Tell whether an array is consecutive slices of another one along one of its axes."""
    while part.ndim > values.ndim and part.shape[0] == 1:
        part = part[0]
    if part.ndim != values.ndim:
        return False
    shorter = [axis for axis in range(part.ndim) if part.shape[axis] != values.shape[axis]]
    if len(shorter) != 1 or part.shape[shorter[0]] > values.shape[shorter[0]]:
        return False
    whole, rows = (np.moveaxis(each, shorter[0], 0) for each in (values, part))
    return any(
        np.array_equal(whole[start : start + len(rows)], rows)
        for start in range(len(whole) - len(rows) + 1)
    )


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded_up = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded_up & np.uint32(0xFFFF0000)).view(np.float32)


def _folded(name: str, values: NDArray[Any], left: list[StoredWeight]) -> dict[str, Match]:
    for constant in left:
        stored = constant.values()
        for layout in _layouts(values):
            if layout.shape == stored.shape and _is_scaled(layout, stored):
                left.remove(constant)
                return {name: Match((constant,), stored)}
    return {}


def _layouts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Give a weight in the layouts that the file may hold it in."""
    yield values
    if values.ndim == 2:
        yield values.T
    if values.ndim == 4:
        yield values.transpose(0, 2, 3, 1)
        yield values.transpose(1, 2, 3, 0)


def _is_scaled(values: NDArray[Any], stored: NDArray[np.float32]) -> bool:
    """Tell whether one is the other with the slices along one axis scaled."""
    safe = np.where(values == 0, 1, values).astype(np.float64)
    if np.any((values == 0) & (stored != 0)):
        return False
    ratio = np.where(values == 0, np.nan, stored / safe)
    return any(_constant_along(ratio, axis) for axis in range(ratio.ndim))


def _constant_along(ratio: NDArray[np.float64], axis: int) -> bool:
    """Tell whether each slice along an axis has one ratio; NaN says nothing."""
    slices = np.moveaxis(ratio, axis, 0).reshape(ratio.shape[axis], -1)
    known = ~np.isnan(slices)
    low = np.where(known, slices, np.inf).min(axis=1)
    high = np.where(known, slices, -np.inf).max(axis=1)
    some = known.any(axis=1)
    if not some.any():
        return False
    spread = np.abs(high[some] - low[some])
    return bool((spread <= _RATIO_TOLERANCE * np.abs(high[some])).all())


def _digest(values: NDArray[Any]) -> str:
    """Identify the values of an array, whatever their order."""
    flat = np.sort(np.asarray(values, dtype=np.float32).ravel())
    return hashlib.sha256((flat + np.float32(0)).tobytes()).hexdigest()  # + 0: -0 is 0


def rounded_operand(
    values: NDArray[np.float32], bits: int
) -> tuple[WeightScheme, NDArray[np.float32]]:
    """Give what the quantizer makes of a constant that an integer op adds, multiplies, or the like.

    It is stored as an activation is: per tensor, with a zero point at 8 bits and without at 16.

    Returns:
        Its scheme, and the decoded values.
    """
    lowest, largest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if bits == 16:
        scale, zero_point = max(-low, high, 1e-9) / largest, 0.0
    else:
        scale = max(high - low, 1e-9) / (largest - lowest)
        zero_point = float(np.rint(lowest - low / scale))
    scheme = WeightScheme(encoding="linear", bits=bits, symmetric=zero_point == 0)
    codes = np.clip(np.rint(values / scale) + zero_point, lowest, largest)
    return scheme, ((codes - zero_point) * scale).astype(np.float32)


def rounded(
    values: NDArray[np.float32], scheme: WeightScheme, channel_axis: int
) -> NDArray[np.float32]:
    """Give what the quantizer makes of a weight: rounded to its min-max grid, and decoded again.

    Args:
        values: In the layout of the file.
        scheme: float, or symmetric linear.
        channel_axis: Axis of the output channels.
    """
    if scheme.encoding == "float":
        return values.astype(np.float16).astype(np.float32) if scheme.bits == 16 else values
    groups = values.reshape(1, -1)
    if scheme.granularity == "per_channel":
        groups = np.moveaxis(values, channel_axis, 0).reshape(values.shape[channel_axis], -1)
    elif scheme.block_size is not None:
        groups = values.reshape(-1, scheme.block_size)
    largest = (1 << (scheme.bits - 1)) - 1
    scales = np.maximum(np.abs(groups).max(axis=1, keepdims=True), 1e-9) / largest
    if scheme.granularity == "per_block":
        scales = _bfloat16(scales)  # the file keeps the scales of blocks at 8 significant bits
    decoded: NDArray[np.float32] = (np.rint(groups / scales) * scales).astype(np.float32)
    return decoded
