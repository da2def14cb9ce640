"""Reading and writing at indices; negative indices count from the end of their axis."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError, op


@op("gather", kind="move")
def gather(
    *,
    x: Tensor,
    indices: Tensor,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,
) -> Tensor:
    """Take slices of x along an axis; the first ``batch_dims`` axes of both go together."""
    del validate_indices  # indices out of range are always refused
    axis %= x.dim()
    index = positive(indices, x.shape[axis])
    if batch_dims == 0:
        taken = x.index_select(axis, index.reshape(-1))
        return taken.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    batch = x.shape[:batch_dims]
    rows = x.reshape(-1, *x.shape[batch_dims:])
    row_indices = index.reshape(rows.shape[0], *index.shape[batch_dims:])
    taken = torch.stack(
        [
            gather(x=row, indices=row_index, axis=axis - batch_dims)
            for row, row_index in zip(rows, row_indices, strict=True)
        ]
    )
    return taken.reshape(*batch, *taken.shape[1:])


def positive(indices: Tensor, size: int) -> Tensor:
    """Give indices counted from the start, as int64.

    Raises:
        OpError: One lies outside the axis.
    """
    index = indices.to(torch.int64)
    index = torch.where(index < 0, index + size, index)
    if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < size):
        raise OpError(f"an index lies outside an axis of {size} elements")
    return index
