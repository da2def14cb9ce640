"""Joining, splitting, filling, padding."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.arguments import Ints, Tensors
from mobilesdk.coreml.ops.axes import axis_of
from mobilesdk.coreml.ops.padding import padded_shape, reversed_flat
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room


@op("concat", kind="move")
def concat(
    *,
    values: Tensors,
    axis: int,
    interleave: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Join tensors along an axis, element by element in turn if interleaved; scalars as [1]."""
    check_room([sum(value.numel() for value in values)], max_elements)
    parts = [value.reshape(1) if value.dim() == 0 else value for value in values]
    if not parts:
        raise OpError("nothing to join")
    axis = axis_of(axis, parts[0].dim())
    if not interleave:
        return torch.cat(parts, axis)
    return torch.stack(parts, axis + 1).flatten(axis, axis + 1)


@op("stack", kind="move")
def stack(*, values: Tensors, axis: int, max_elements: int = MAX_ELEMENTS) -> Tensor:
    """Join tensors along a new axis."""
    check_room([sum(value.numel() for value in values)], max_elements)
    if not values:
        raise OpError("nothing to join")
    return torch.stack(values, axis_of(axis, values[0].dim() + 1))


@op("split", kind="move")
def split(
    *, x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None
) -> tuple[Tensor, ...]:
    """Cut into parts of the sizes given, or into equal parts."""
    axis = axis_of(axis, x.dim())
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
def tile(*, x: Tensor, reps: Ints, max_elements: int = MAX_ELEMENTS) -> Tensor:
    """Repeat along each axis."""
    check_room([x.numel(), *reps], max_elements)
    return x.repeat(reps)


@op("fill", kind="move")
def fill(*, shape: Ints, value: Tensor | None = None, max_elements: int = MAX_ELEMENTS) -> Tensor:
    """Give a tensor of one value, 0.0 by default."""
    check_room(shape, max_elements)
    return torch.zeros(shape) if value is None else value.reshape(()).repeat(shape)


@op("fill_like", kind="move", since=16)
def fill_like(*, ref_tensor: Tensor, value: Tensor | None = None) -> Tensor:
    """Give a tensor of one value, 0.0 by default, in the shape of another."""
    return fill(shape=tuple(ref_tensor.shape), value=value)


@op("range_1d")
def range_1d(
    *, end: Tensor, start: Tensor, step: Tensor, max_elements: int = MAX_ELEMENTS
) -> Tensor:
    """Give start, start + step … up to end, which is not reached; none if end is behind start."""
    count = max(math.ceil((end.item() - start.item()) / step.item()), 0)
    check_room([count], max_elements)
    if count == 0:
        return torch.zeros(0, dtype=end.dtype)
    values = torch.arange(start.item(), end.item(), step.item(), dtype=torch.float64)
    return values.to(end.dtype)


@op("one_hot", kind="move")
def one_hot(
    *,
    indices: Tensor,
    one_hot_vector_size: int,
    axis: int = -1,
    on_value: Tensor | None = None,
    off_value: Tensor | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Give on_value (1) at each index along a new axis and off_value (0) elsewhere."""
    check_room((*indices.shape, one_hot_vector_size), max_elements)
    on = torch.tensor(1) if on_value is None else on_value.reshape(())
    off = torch.tensor(0) if off_value is None else off_value.reshape(())
    hot = indices.to(torch.int64).unsqueeze(-1) == torch.arange(one_hot_vector_size)
    return torch.where(hot, on, off).movedim(-1, axis_of(axis, hot.dim()))


@op("non_zero", kind="move")
def non_zero(*, x: Tensor) -> Tensor:
    """Give the coordinates of all elements that are not 0, shape [count, rank]."""
    return torch.nonzero(x)


@op("band_part", kind="move")
def band_part(*, x: Tensor, lower: int = -1, upper: int = -1) -> Tensor:
    """Keep the diagonal of the last two axes, so many below it and above it (-1: all)."""
    away = torch.arange(x.shape[-1]) - torch.arange(x.shape[-2]).unsqueeze(1)
    kept = torch.ones_like(away, dtype=torch.bool)
    if lower >= 0:
        kept &= -away <= lower
    if upper >= 0:
        kept &= away <= upper
    return torch.where(kept, x, torch.zeros_like(x))


@op("pad", kind="move")
def pad(
    *,
    x: Tensor,
    pad: Ints,
    mode: str = "constant",
    constant_val: float = 0.0,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Add elements before and after the last axes: a constant, a reflection, or the edge."""
    if len(pad) % 2 or any(count < 0 for count in pad):
        raise OpError(f"its argument pad is {list(pad)}, not two counts for each axis")
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    check_room(padded_shape(x, pairs), max_elements)
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
