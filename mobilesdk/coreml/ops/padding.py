"""How many elements convolutions and pools add around their input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import Tensor

from mobilesdk.coreml.ops.arguments import Results
from mobilesdk.coreml.ops.registry import OpError

Function = TypeVar("Function")


def for_axes(functions: Mapping[int, Function], axes: int) -> Function:
    """Give the function for so many spatial axes.

    Raises:
        OpError: There is none.
    """
    if axes not in functions:
        raise OpError(f"{axes} spatial axes where {', '.join(map(str, functions))} are known")
    return functions[axes]


def paddings(
    pad_type: str,
    pad: Sequence[int],
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """Give the elements before and after each spatial axis.

    Args:
        pad_type: ``valid``: none; ``custom``: as ``pad`` says; ``same``, ``same_lower``: as many
            as give ceil(size / stride) results, an odd one after or before.
        pad: Before and after each axis in turn; empty for none.
        sizes: Of the spatial axes of the input.
        kernel: Of the kernel.
        strides: Of the kernel.
        dilations: Of the kernel.

    Raises:
        OpError: The type of padding is not known, or ``pad`` has another length.
    """
    if pad_type == "valid":
        return ((0, 0),) * len(kernel)
    if pad_type == "custom":
        given = list(pad) or [0] * (2 * len(kernel))
        if len(given) != 2 * len(kernel):
            raise OpError(f"{len(given)} paddings for {len(kernel)} spatial axes")
        return tuple(zip(given[::2], given[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise OpError(f"the pad type {pad_type!r} is not known")
    totals = [
        max((-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    pairs = [(total // 2, total - total // 2) for total in totals]
    return tuple(
        (after, before) if pad_type == "same_lower" else (before, after) for before, after in pairs
    )


def check_sizes(
    results: Results,
    sizes: Sequence[int],
    around: Sequence[tuple[int, int]],
    reaches: Sequence[int],
    strides: Sequence[int],
) -> list[int]:
    """Hold the number of windows to the declared result before anything of that size is computed.

    Args:
        results: Declared types of the results; nothing is checked without them.
        sizes: Of the spatial axes of the input.
        around: Padding before and after each.
        reaches: Elements that a window spans along each.
        strides: Of the windows.

    Returns:
        The number of windows along each axis.

    Raises:
        OpError: The declared result has other spatial sizes.
    """
    windows = [
        (size + before + after - reach) // stride + 1
        for size, (before, after), reach, stride in zip(
            sizes, around, reaches, strides, strict=True
        )
    ]
    declared = getattr(results[0], "shape", None) if results else None
    if declared is None:
        return windows
    if len(declared) != len(windows) + 2:
        raise OpError(f"windows {windows}, but the result is declared of rank {len(declared)}")
    for count, expected in zip(windows, declared[2:], strict=True):
        if expected not in (None, count):
            raise OpError(f"windows {windows}, but the result is declared {list(declared[2:])}")
    return windows


def padded_shape(x: Tensor, around: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Give the shape of x with elements added before and after its last axes.

    Raises:
        OpError: It has fewer axes, or more elements are taken off than there are.
    """
    rest = x.dim() - len(around)
    if rest < 0:
        raise OpError(f"paddings of {len(around)} axes for a tensor of {x.dim()}")
    sizes = [
        size + before + after for size, (before, after) in zip(x.shape[rest:], around, strict=True)
    ]
    if any(size < 0 for size in sizes):
        raise OpError(f"paddings that leave the sizes {sizes}")
    return *x.shape[:rest], *sizes


def reversed_flat(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Give paddings in the order of torch: last axis first."""
    return [count for pair in reversed(pairs) for count in pair]
