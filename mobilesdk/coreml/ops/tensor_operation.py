"""Joining, splitting, filling, padding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.arguments import Ints, Tensors
from mobilesdk.coreml.ops.padding import reversed_flat
from mobilesdk.coreml.ops.registry import OpError, op


@op("concat", kind="move")
def concat(*, values: Tensors, axis: int, interleave: bool = False) -> Tensor:
    """Join tensors along an axis, element by element in turn if interleaved; scalars as [1]."""
    parts = [value.reshape(1) if value.dim() == 0 else value for value in values]
    if not interleave:
        return torch.cat(parts, axis)
    axis %= parts[0].dim()
    return torch.stack(parts, axis + 1).flatten(axis, axis + 1)


@op("stack", kind="move")
def stack(*, values: Tensors, axis: int) -> Tensor:
    """Join tensors along a new axis."""
    return torch.stack(values, axis)


@op("split", kind="move")
def split(
    *, x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None
) -> tuple[Tensor, ...]:
    """Cut into parts of the sizes given, or into equal parts."""
    if split_sizes is not None:
        return tuple(torch.split(x, split_sizes, axis))
    if num_splits is None or num_splits < 1 or x.shape[axis] % num_splits:
        raise OpError(f"an axis of {x.shape[axis]} elements in {num_splits} equal parts")
    return tuple(torch.split(x, x.shape[axis] // num_splits, axis))


@op("shape", kind="move")
def shape(*, x: Tensor) -> Tensor:
    """Give the sizes of the axes."""
    return torch.tensor(x.shape, dtype=torch.int32)


@op("tile", kind="move")
def tile(*, x: Tensor, reps: Ints) -> Tensor:
    """Repeat along each axis."""
    return x.repeat(*reps)


@op("fill", kind="move")
def fill(*, shape: Ints, value: Tensor | None = None) -> Tensor:
    """Give a tensor of one value, 0.0 by default."""
    return torch.zeros(shape) if value is None else value.reshape(()).repeat(shape)


@op("pad", kind="move")
def pad(*, x: Tensor, pad: Ints, mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    """Add elements before and after the last axes: a constant, a reflection, or the edge."""
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    if mode == "constant":
        return functional.pad(x, reversed_flat(pairs), value=constant_val)
    if mode not in ("reflect", "replicate"):
        raise OpError(f"the mode {mode!r} is not known")
    for axis, (before, after) in enumerate(pairs, start=x.dim() - len(pairs)):
        if before or after:
            x = x.index_select(axis, _edge_indices(x.shape[axis], before, after, mode))
    return x


def _edge_indices(size: int, before: int, after: int, mode: str) -> Tensor:
    index = torch.arange(-before, size + after)
    if mode == "replicate":
        return index.clamp(0, size - 1)
    if max(before, after) >= size:
        raise OpError(f"a reflection of {max(before, after)} elements of an axis of {size}")
    return (size - 1) - (size - 1 - index.abs()).abs()
