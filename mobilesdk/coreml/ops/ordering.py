"""Order of elements, and sums in order."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.axes import axis_of
from mobilesdk.coreml.ops.integers import in_64_bits
from mobilesdk.coreml.ops.registry import OpError, op


@op("argsort", kind="move")
def argsort(*, x: Tensor, axis: int = -1, ascending: bool = False) -> Tensor:
    """Give the indices that sort x along an axis; of equal elements the first comes first."""
    return torch.sort(x, dim=axis_of(axis, x.dim()), descending=not ascending, stable=True).indices


@op("topk", kind="move")
def topk(
    *,
    x: Tensor,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> Tensor | tuple[Tensor, Tensor]:
    """Give the k largest (or smallest) elements along an axis and their indices; -1 is all.

    They are always sorted, of equal ones the first first: MIL leaves both open.
    """
    del sort, output_indices_dtype
    axis = axis_of(axis, x.dim())
    size = x.shape[axis]
    count = size if k == -1 else k
    if not 0 <= count <= size:
        raise OpError(f"{k} of an axis of {size} elements")
    indices = argsort(x=x, axis=axis, ascending=ascending).narrow(axis, 0, count)
    values = torch.gather(x, axis, indices)
    return (values, indices) if return_indices else values


@op("cumsum")
def cumsum(*, x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Give the sums of the elements so far, without the element itself if ``exclusive``."""
    axis = axis_of(axis, x.dim())
    ordered = x.flip(axis) if reverse else x
    sums = in_64_bits(lambda values: torch.cumsum(values, axis), ordered)
    if exclusive:
        sums = torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums], axis)
        sums = sums.narrow(axis, 0, x.shape[axis])
    return sums.flip(axis) if reverse else sums
