"""Pooling over windows of the spatial axes of x [n, C, *sizes]."""

from __future__ import annotations

from math import inf, prod

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.arguments import Ints
from mobilesdk.coreml.ops.axes import check_lengths
from mobilesdk.coreml.ops.padding import for_axes, padded_shape, paddings, reversed_flat
from mobilesdk.coreml.ops.registry import op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room

_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_MEAN = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}

Pairs = tuple[tuple[int, int], ...]


@op("max_pool", kind="move")
def max_pool(
    *,
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints = (),
    ceil_mode: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Give the largest element of each window."""
    strides = strides or (1,) * len(kernel_sizes)
    _, extended = _around(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    check_room(padded_shape(x, extended), max_elements)
    if any(count for pair in extended for count in pair):
        x = functional.pad(x, reversed_flat(extended), value=-inf)
    return for_axes(_MAX, len(kernel_sizes))(x, kernel_sizes, strides)


@op("avg_pool")
def avg_pool(
    *,
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints = (),
    ceil_mode: bool = False,
    exclude_padding_from_average: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Give the mean of each window.

    Elements that only rounding up the number of windows adds never count; the padding counts
    unless it is excluded.
    """
    strides = strides or (1,) * len(kernel_sizes)
    around, extended = _around(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    check_room(padded_shape(x, extended), max_elements)
    mean = for_axes(_MEAN, len(kernel_sizes))
    if not any(count for pair in extended for count in pair):
        return mean(x, kernel_sizes, strides)
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    real = ((0, 0),) * len(around) if exclude_padding_from_average else around
    counted = functional.pad(counted, reversed_flat(real), value=1.0)
    rest = tuple(
        (whole[0] - part[0], whole[1] - part[1]) for whole, part in zip(extended, real, strict=True)
    )
    counted = functional.pad(counted, reversed_flat(rest))
    sums = mean(functional.pad(x, reversed_flat(extended)), kernel_sizes, strides)
    return sums / mean(counted, kernel_sizes, strides)


@op("l2_pool")
def l2_pool(
    *,
    x: Tensor,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints = (),
    ceil_mode: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Give the root of the sum of squares of each window."""
    strides = strides or (1,) * len(kernel_sizes)
    _, extended = _around(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    check_room(padded_shape(x, extended), max_elements)
    squares = functional.pad(torch.square(x), reversed_flat(extended))
    mean = for_axes(_MEAN, len(kernel_sizes))(squares, kernel_sizes, strides)
    return torch.sqrt(mean * prod(kernel_sizes))


def _around(
    x: Tensor, kernel: Ints, strides: Ints, pad_type: str, pad: Ints, ceil_mode: bool
) -> tuple[Pairs, Pairs]:
    """Give the padding, and the padding with what rounding up the windows adds after it."""
    sizes = x.shape[2:]
    check_lengths(len(sizes), "spatial axes", kernel_sizes=kernel, strides=strides)
    around = paddings(pad_type, pad, sizes, kernel, strides, (1,) * len(kernel))
    if not ceil_mode:
        return around, around
    extended = []
    for size, width, stride, (before, after) in zip(sizes, kernel, strides, around, strict=True):
        total = size + before + after
        count = -(-(total - width) // stride) + 1
        if (count - 1) * stride >= size + before:  # no window starts in the padding after
            count -= 1
        extended.append((before, after + max((count - 1) * stride + width - total, 0)))
    return around, tuple(extended)
