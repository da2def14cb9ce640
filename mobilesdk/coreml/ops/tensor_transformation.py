"""Changes of shape and order; no value is computed."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Bools, Ints, Tensors
from mobilesdk.coreml.ops.registry import op


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
    sizes: list[int] = []
    for tensor, begin, end, is_open in zip(ref_tensors, begins, ends, end_masks, strict=True):
        sizes += tensor.shape[begin : None if is_open else end]
    return x.reshape(sizes)


@op("flatten2d", kind="move")
def flatten2d(*, x: Tensor, axis: int = 1) -> Tensor:
    """Join the axes before one, and the others, to a matrix."""
    rows = prod(x.shape[: axis + x.dim() if axis < 0 else axis])
    return x.reshape(rows, x.numel() // rows if rows else 0)


@op("transpose", kind="move")
def transpose(*, x: Tensor, perm: Ints) -> Tensor:
    """Reorder the axes."""
    return x.permute(perm)


@op("expand_dims", kind="move")
def expand_dims(*, x: Tensor, axes: Ints) -> Tensor:
    """Insert axes of size 1, numbered as in the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@op("squeeze", kind="move")
def squeeze(*, x: Tensor, axes: Ints | None = None) -> Tensor:
    """Remove axes of size 1: those given, or all."""
    return x.squeeze() if axes is None else x.squeeze(axes)


@op("reverse", kind="move")
def reverse(*, x: Tensor, axes: Ints | None = None) -> Tensor:
    """Reverse the order along axes (all by default)."""
    return torch.flip(x, axes if axes is not None else tuple(range(x.dim())))
