"""Changes of shape and order; no value is computed."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Bools, Ints, Tensors
from mobilesdk.coreml.ops.axes import axes_of, check_lengths
from mobilesdk.coreml.ops.registry import OpError, op


@op("reshape", kind="move")
def reshape(*, x: Tensor, shape: Ints) -> Tensor:
    """Give x another shape: -1 is what is left; 0 copies an axis, counted from the last one."""
    shift = x.dim() - len(shape)
    sizes = [
        x.shape[index + shift] if size == 0 and index + shift >= 0 else size or 1
        for index, size in enumerate(shape)
    ]
    return x.reshape(sizes)


@op("reshape_like", kind="move", since=16)
def reshape_like(
    *, x: Tensor, ref_tensors: Tensors, begins: Ints, ends: Ints, end_masks: Bools
) -> Tensor:
    """Give x the shape made of parts of the shapes of tensors; a masked end is the last axis."""
    check_lengths(len(ref_tensors), "tensors", begins=begins, ends=ends, end_masks=end_masks)
    sizes: list[int] = []
    for tensor, begin, end, is_open in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += tensor.shape[begin : None if is_open else end]
    return x.reshape(sizes)


@op("flatten2d", kind="move")
def flatten2d(*, x: Tensor, axis: int = 1) -> Tensor:
    """Join the axes before one, and the others, to a matrix."""
    if not -x.dim() <= axis <= x.dim():
        raise OpError(f"axis {axis} of a tensor of rank {x.dim()}")
    rows = prod(x.shape[: axis + x.dim() if axis < 0 else axis])
    return x.reshape(rows, x.numel() // rows if rows else 0)


@op("transpose", kind="move")
def transpose(*, x: Tensor, perm: Ints) -> Tensor:
    """Reorder the axes."""
    check_lengths(x.dim(), "axes", perm=perm)
    return x.permute(axes_of(perm, x.dim()))


@op("expand_dims", kind="move")
def expand_dims(*, x: Tensor, axes: Ints) -> Tensor:
    """Insert axes of size 1, numbered as in the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axes_of(axes, rank)):
        x = x.unsqueeze(axis)
    return x


@op("squeeze", kind="move")
def squeeze(*, x: Tensor, axes: Ints | None = None) -> Tensor:
    """Remove axes of size 1: those among the ones given, or all."""
    return x.squeeze() if axes is None else x.squeeze(axes_of(axes, x.dim()))


@op("reverse", kind="move")
def reverse(*, x: Tensor, axes: Ints | None = None) -> Tensor:
    """Reverse the order along axes (all by default)."""
    return torch.flip(x, axes_of(axes, x.dim()) if axes is not None else list(range(x.dim())))
