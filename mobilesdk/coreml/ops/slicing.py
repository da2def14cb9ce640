"""Parts of tensors by position."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Bools, Ints
from mobilesdk.coreml.ops.axes import check_lengths
from mobilesdk.coreml.ops.registry import OpError, op


@op("slice_by_index", kind="move")
def slice_by_index(
    *,
    x: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Tensor:
    """Slice each axis as Python does; masked bounds are open; squeezed axes take one element.

    Raises:
        OpError: An argument has not a value for each axis, or a squeezed index is outside.
    """
    slices = index_ranges(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, part in enumerate(slices):
        if part.step < 0:
            x = x.index_select(axis, _indices(part))
        else:
            at = [slice(None)] * axis + [slice(part.start, part.stop, part.step)]
            x = x[tuple(at)]
    squeezed = tuple(axis for axis, flag in enumerate(squeeze_mask or ()) if flag)
    return x.squeeze(squeezed) if squeezed else x


@op("slice_update", kind="move", since=18)
def slice_update(
    *,
    x: Tensor,
    update: Tensor,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Bools | None = None,
    end_mask: Bools | None = None,
    squeeze_mask: Bools | None = None,
) -> Tensor:
    """Replace what `slice_by_index` would take; the result has the shape of x.

    Raises:
        OpError: As there.
    """
    ranges = index_ranges(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, flag in enumerate(squeeze_mask or ()):
        if flag:
            update = update.unsqueeze(axis)
    index = torch.meshgrid(*map(_indices, ranges), indexing="ij")
    return x.index_put(list(index), update)


@op("slice_by_size", kind="move")
def slice_by_size(*, x: Tensor, begin: Ints, size: Ints) -> Tensor:
    """Take ``size`` elements from ``begin`` on along each axis; -1 takes all that follow.

    Raises:
        OpError: An argument has not a value for each axis.
    """
    check_lengths(x.dim(), "axes", begin=begin, size=size)
    for axis, (start, count) in enumerate(zip(begin, size, strict=True)):
        start = start + x.shape[axis] if start < 0 else start
        x = x.narrow(axis, start, x.shape[axis] - start if count == -1 else count)
    return x


def index_ranges(
    shape: torch.Size,
    begin: Ints,
    end: Ints,
    stride: Ints | None,
    begin_mask: Bools | None,
    end_mask: Bools | None,
    squeeze_mask: Bools | None,
) -> list[range]:
    """Give the indices along each axis that slicing takes.

    Raises:
        OpError: A squeezed index lies outside its axis, or an argument has not a value for each.
    """
    rank = len(shape)
    closed = (False,) * rank
    open_begin, open_end = begin_mask or closed, end_mask or closed
    single, steps = squeeze_mask or closed, stride or (1,) * rank
    check_lengths(rank, "axes", begin=begin, end=end, stride=steps)
    check_lengths(rank, "axes", begin_mask=open_begin, end_mask=open_end, squeeze_mask=single)
    ranges = []
    for axis, size in enumerate(shape):
        if single[axis]:
            at = begin[axis] + size if begin[axis] < 0 else begin[axis]
            if not 0 <= at < size:
                raise OpError(f"index {begin[axis]} outside an axis of {size} elements")
            ranges.append(range(at, at + 1))
            continue
        start = None if open_begin[axis] else begin[axis]
        stop = None if open_end[axis] else end[axis]
        ranges.append(range(*slice(start, stop, steps[axis]).indices(size)))
    return ranges


def _indices(part: range) -> Tensor:
    return part.start + part.step * torch.arange(len(part))


@op("crop", kind="move")
def crop(*, x: Tensor, crop_height: Ints, crop_width: Ints) -> Tensor:
    """Cut elements off the start and end of the last two axes."""
    check_lengths(2, "edges", crop_height=crop_height, crop_width=crop_width)
    top, bottom = crop_height
    left, right = crop_width
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
