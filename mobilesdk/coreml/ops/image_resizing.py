"""Resizing of the last axes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Ints
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room
from mobilesdk.coreml.ops.sampling import grid, interpolate


@op("resize_bilinear")
def resize_bilinear(
    *,
    x: Tensor,
    target_size_height: int = 1,
    target_size_width: int = 1,
    sampling_mode: str = "DEFAULT",
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Interpolate the last two axes linearly to a size."""
    return _linear(x, (target_size_height, target_size_width), sampling_mode, max_elements)


@op("upsample_bilinear")
def upsample_bilinear(
    *,
    x: Tensor,
    scale_factor_height: float = 1.0,
    scale_factor_width: float = 1.0,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Interpolate the last two axes linearly by factors.

    Positions follow from the sizes, not from the factors. ``half_pixel_centers`` is the opposite of
    ``align_corners`` unless it is given.
    """
    half_pixels = not align_corners if half_pixel_centers is None else half_pixel_centers
    if align_corners and half_pixels:
        raise OpError("corners that are aligned at the centres of pixels")
    mode = "UNALIGN_CORNERS" if half_pixels else "DEFAULT"
    sizes = _scaled(x, scale_factor_height, scale_factor_width)
    mode = "STRICT_ALIGN_CORNERS" if align_corners else mode
    return _linear(x, sizes, mode, max_elements)


@op("resize_nearest_neighbor", kind="move")
def resize_nearest_neighbor(
    *,
    x: Tensor,
    target_size_height: int,
    target_size_width: int,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Repeat or leave out elements of the last two axes: element floor(i * size / target)."""
    return _nearest_below(x, (target_size_height, target_size_width), max_elements)


@op("upsample_nearest_neighbor", kind="move")
def upsample_nearest_neighbor(
    *,
    x: Tensor,
    scale_factor_height: float = 1.0,
    scale_factor_width: float = 1.0,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Repeat or leave out elements of the last two axes, by factors."""
    sizes = _scaled(x, scale_factor_height, scale_factor_width)
    return _nearest_below(x, sizes, max_elements)


@op("resize", since=17)
def resize(
    *,
    x: Tensor,
    shape: Ints,
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Resize the last ``resized_dims`` axes to the last sizes of ``shape``; 0 keeps an axis.

    The nearest neighbour is at the rounded position, unlike in `resize_nearest_neighbor`.
    """
    if interpolation_mode not in ("LINEAR", "NEAREST_NEIGHBOR"):
        raise OpError(f"the interpolation mode {interpolation_mode!r} is not known")
    if not 0 < resized_dims <= min(x.dim(), len(shape)):
        raise OpError(f"{resized_dims} axes resized, of rank {x.dim()}, to {len(shape)} sizes")
    dtype = x.dtype
    for axis, size in zip(range(-resized_dims, 0), shape[-resized_dims:], strict=True):
        if size == 0:
            continue
        _check_resized(x, {axis: size}, max_elements)
        positions = grid(sampling_mode, x.shape[axis], size)
        if interpolation_mode == "LINEAR":
            x = interpolate(x if x.is_floating_point() else x.double(), axis, positions)
        else:
            x = x.index_select(axis, (positions + 0.5).floor().to(torch.int64))
    return x if dtype.is_floating_point else x.trunc().to(dtype)


def _scaled(x: Tensor, *factors: float) -> tuple[int, ...]:
    if x.dim() < len(factors):
        raise OpError(f"{len(factors)} factors for a tensor of rank {x.dim()}")
    # In float32, as in the shapes that the converter declares.
    sizes = zip(x.shape[-len(factors) :], factors, strict=True)
    with np.errstate(over="ignore"):  # infinity is no size, and refused as such
        scaled = [np.floor(np.float32(factor) * np.float32(size)) for size, factor in sizes]
    return tuple(map(int, scaled))


def _check_resized(x: Tensor, sizes: dict[int, int], max_elements: int) -> None:
    """Hold x with other sizes of axes, counted from the last one, to the limit."""
    shape = list(x.shape)
    for axis, size in sizes.items():
        shape[axis] = size
    check_room(shape, max_elements)


def _linear(x: Tensor, sizes: tuple[int, ...], mode: str, max_elements: int) -> Tensor:
    if x.dim() < len(sizes):
        raise OpError(f"{len(sizes)} sizes for a tensor of rank {x.dim()}")
    _check_resized(x, dict(zip(range(-len(sizes), 0), sizes, strict=True)), max_elements)
    for axis, size in zip(range(-len(sizes), 0), sizes, strict=True):
        x = interpolate(x, axis, grid(mode, x.shape[axis], size))
    return x


def _nearest_below(x: Tensor, sizes: tuple[int, ...], max_elements: int) -> Tensor:
    if x.dim() < len(sizes):
        raise OpError(f"{len(sizes)} sizes for a tensor of rank {x.dim()}")
    _check_resized(x, dict(zip(range(-len(sizes), 0), sizes, strict=True)), max_elements)
    for axis, size in zip(range(-len(sizes), 0), sizes, strict=True):
        x = x.index_select(axis, torch.arange(size) * x.shape[axis] // size)
    return x
