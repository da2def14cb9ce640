"""Convolutions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.activation import per_channel
from mobilesdk.coreml.ops.arguments import Ints, Results
from mobilesdk.coreml.ops.axes import check_lengths
from mobilesdk.coreml.ops.padding import (
    check_sizes,
    for_axes,
    padded_shape,
    paddings,
    reversed_flat,
)
from mobilesdk.coreml.ops.products import convolution
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@op("conv")
def conv(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints = (),
    dilations: Ints | None = None,
    groups: int = 1,
    results: Results = (),
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Convolve x [n, C_in, *sizes] with weight [C_out, C_in / groups, *kernel]."""
    axes = _spatial_axes(x, weight)
    strides, dilations = strides or (1,) * axes, dilations or (1,) * axes
    check_lengths(axes, "spatial axes", strides=strides, dilations=dilations)
    around = paddings(pad_type, pad, x.shape[2:], weight.shape[2:], strides, dilations)
    kernel = weight.shape[2:]
    reaches = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    windows = check_sizes(results, x.shape[2:], around, reaches, strides)
    check_room((x.shape[0], weight.shape[0], *windows), max_elements)
    check_room(padded_shape(x, around), max_elements)
    if products_per_sum is not None:
        check_room((x.shape[0], *x.shape[1:2], *windows, *kernel), max_elements)
        padded = functional.pad(x, reversed_flat(around))
        summed = convolution(padded, weight, strides, dilations, groups, products_per_sum)
        return summed if bias is None else summed + bias.reshape(-1, *[1] * axes)
    before = [pair[0] for pair in around]
    if any(pair[0] != pair[1] for pair in around):
        x, before = functional.pad(x, reversed_flat(around)), [0] * axes
    return for_axes(_CONV, axes)(x, weight, bias, strides, before, dilations, groups)


@op("conv_transpose")
def conv_transpose(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Ints = (),
    output_shape: Ints | None = None,
    pad_type: str = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Convolve transposed: x [n, C_in, *sizes], weight [C_in, C_out / groups, *kernel].

    Paddings are cut off the full result. ``same`` gives size times stride. An ``output_shape``
    wins over both; where it reaches past the full result, zeros follow before the bias is added.
    """
    axes = _spatial_axes(x, weight)
    strides, dilations = strides or (1,) * axes, dilations or (1,) * axes
    check_lengths(axes, "spatial axes", strides=strides, dilations=dilations)
    reaches = [
        (size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True)
    ]
    sizes = [
        (size - 1) * stride + reach
        for size, stride, reach in zip(x.shape[2:], strides, reaches, strict=True)
    ]
    check_room((x.shape[0], weight.shape[1] * groups, *sizes), max_elements)
    if products_per_sum is None:
        full = for_axes(_TRANSPOSED, axes)(x, weight, None, strides, 0, 0, groups, dilations)
    else:
        check_room((x.shape[0], x.shape[1], *sizes, *weight.shape[2:]), max_elements)
        spread = _spread(x, strides, reaches)
        flipped = _transposed(weight, groups)
        ones = (1,) * axes
        full = convolution(spread, flipped, ones, dilations, groups, products_per_sum)
    cut = _cut(x, full, strides, pad_type, pad, output_shape)
    short = [
        max(start + size - have, 0) for (start, size), have in zip(cut, full.shape[2:], strict=True)
    ]
    around = [(0, count) for count in short]
    check_room(padded_shape(full, around), max_elements)
    full = functional.pad(full, reversed_flat(around))
    for axis, (start, size) in enumerate(cut, start=2):
        full = full.narrow(axis, start, size)
    return full if bias is None else full + per_channel(bias, full)


def _spatial_axes(x: Tensor, weight: Tensor) -> int:
    if x.dim() < 3 or weight.dim() != x.dim():
        raise OpError(f"x of {list(x.shape)} with a weight of {list(weight.shape)}")
    axes: int = x.dim() - 2
    return axes


def _spread(x: Tensor, strides: Ints, reaches: list[int]) -> Tensor:
    """Put zeros between the elements and around them, for a convolution of stride 1."""
    sizes = [(size - 1) * stride + 1 for size, stride in zip(x.shape[2:], strides, strict=True)]
    spread = x.new_zeros(*x.shape[:2], *sizes)
    places = (slice(None), slice(None), *(slice(None, None, stride) for stride in strides))
    spread[places] = x
    return functional.pad(spread, reversed_flat([(reach - 1, reach - 1) for reach in reaches]))


def _transposed(weight: Tensor, groups: int) -> Tensor:
    """Turn [C_in, C_out / groups, *kernel] to [C_out, C_in / groups, *kernel], kernels reversed."""
    turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return turned.flip(tuple(range(2, weight.dim())))


def _cut(
    x: Tensor,
    full: Tensor,
    strides: Ints,
    pad_type: str,
    pad: Ints,
    output_shape: Ints | None,
) -> list[tuple[int, int]]:
    """Give the start and size of the result along each spatial axis of the full one."""
    if pad_type not in ("valid", "custom", "same", "same_lower"):
        raise OpError(f"the pad type {pad_type!r} is not known")
    axes = x.dim() - 2
    if pad_type == "custom" and pad:
        check_lengths(2 * axes, "edges", pad=pad)
    if output_shape is not None:
        check_lengths(x.dim(), "axes", output_shape=output_shape)
    same = pad_type.startswith("same")
    given = pad if pad_type == "custom" and pad else (0,) * (2 * axes)
    cut = []
    for axis in range(axes):
        have = full.shape[2 + axis]
        before, after = given[2 * axis : 2 * axis + 2]
        size = x.shape[2 + axis] * strides[axis] if same else have - before - after
        if output_shape is not None:
            size = output_shape[2 + axis]
        if same:
            excess = max(have - size, 0)
            before = excess - excess // 2 if pad_type == "same_lower" else excess // 2
        cut.append((before, size))
    return cut
