"""Elements of the spatial axes of x [n, C, height, width] moved to other axes, and back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.arguments import Ints
from mobilesdk.coreml.ops.axes import axis_of, check_lengths
from mobilesdk.coreml.ops.padding import padded_shape
from mobilesdk.coreml.ops.registry import op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room


@op("depth_to_space", kind="move")
def depth_to_space(*, x: Tensor, block_size: int) -> Tensor:
    """Spread channels over blocks; the places in a block vary slower than the channels."""
    blocks = x.unflatten(1, (block_size, block_size, -1))
    return blocks.permute(0, 3, 4, 1, 5, 2).flatten(4).flatten(2, 3)


@op("space_to_depth", kind="move")
def space_to_depth(*, x: Tensor, block_size: int) -> Tensor:
    """Stack the places of each block as channels; the inverse of `depth_to_space`."""
    blocks = x.unflatten(3, (-1, block_size)).unflatten(2, (-1, block_size))
    return blocks.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


@op("pixel_shuffle", kind="move")
def pixel_shuffle(*, x: Tensor, upscale_factor: int) -> Tensor:
    """Spread channels over blocks; the places in a block vary faster than the channels."""
    return functional.pixel_shuffle(x, upscale_factor)


@op("pixel_unshuffle", kind="move")
def pixel_unshuffle(*, x: Tensor, downscale_factor: int) -> Tensor:
    """Stack the places of each block as channels; the inverse of `pixel_shuffle`."""
    return functional.pixel_unshuffle(x, downscale_factor)


@op("space_to_batch", kind="move")
def space_to_batch(
    *, x: Tensor, block_shape: Ints, paddings: Ints, max_elements: int = MAX_ELEMENTS
) -> Tensor:
    """Pad with zeros, and stack the places of each block along the first axis."""
    check_lengths(4, "edges", paddings=paddings)
    check_lengths(2, "axes", block_shape=block_shape)
    top, bottom, left, right = paddings
    height, width = block_shape
    check_room(padded_shape(x, [(top, bottom), (left, right)]), max_elements)
    blocks = functional.pad(x, [left, right, top, bottom])
    blocks = blocks.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return blocks.permute(3, 5, 0, 1, 2, 4).flatten(0, 2)


@op("batch_to_space", kind="move")
def batch_to_space(*, x: Tensor, block_shape: Ints, crops: Ints) -> Tensor:
    """Spread the first axis over blocks, and cut off the edges."""
    check_lengths(4, "edges", crops=crops)
    check_lengths(2, "axes", block_shape=block_shape)
    top, bottom, left, right = crops
    blocks = x.unflatten(0, (*block_shape, -1)).permute(2, 3, 4, 0, 5, 1)
    image = blocks.flatten(4).flatten(2, 3)
    return image[..., top : image.shape[2] - bottom, left : image.shape[3] - right]


@op("sliding_windows", kind="move")
def sliding_windows(*, x: Tensor, axis: int, size: int, stride: int = 1) -> Tensor:
    """Give the windows along an axis; the places in a window are a new axis after it."""
    axis = axis_of(axis, x.dim())
    return x.unfold(axis, size, stride).movedim(-1, axis + 1)


@op("reverse_sequence", kind="move")
def reverse_sequence(*, x: Tensor, lengths: Ints, seq_axis: int = 0, batch_axis: int = 0) -> Tensor:
    """Reverse the first elements along an axis, for each sample as many as its length says."""
    seq_axis, batch_axis = axis_of(seq_axis, x.dim()), axis_of(batch_axis, x.dim())
    check_lengths(x.shape[batch_axis], "samples", lengths=lengths)
    result = x.clone()
    for sample, length in enumerate(lengths):
        chosen = x.narrow(batch_axis, sample, 1).narrow(seq_axis, 0, length)
        result.narrow(batch_axis, sample, 1).narrow(seq_axis, 0, length).copy_(
            chosen.flip(seq_axis)
        )
    return result
