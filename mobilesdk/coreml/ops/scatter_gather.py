"""Reading and writing at indices.

Up to iOS 16 negative indices count from the end of their axis. From iOS 17 on they lie outside it,
and what is outside is undefined unless ``validate_indices`` makes it an error: it is one here.

Results have the type of x. Operations raise `OpError` for an axis that x lacks and for an index
outside of its axis, and `TooLarge` for a result of more elements than the limit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilesdk.coreml.ops.axes import axis_of
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room

# From indices and the size of their axis to indices counted from the start.
Check = Callable[[Tensor, int], Tensor]


@op("gather", kind="move")
def gather(
    *,
    x: Tensor,
    indices: Tensor,
    axis: int = 0,
    batch_dims: int = 0,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Take slices of x along an axis; the first ``batch_dims`` axes of both go together.

    Indices [*I] of x [*A, size, *B] give [*A, *I, *B].
    """
    return _gathered(x, indices, axis, batch_dims, positive, max_elements)


@op("gather", kind="move", since=17)
def gather_checked(
    *,
    x: Tensor,
    indices: Tensor,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Take slices of x along an axis; the first ``batch_dims`` axes of both go together.

    Indices [*I] of x [*A, size, *B] give [*A, *I, *B].
    """
    del validate_indices
    return _gathered(x, indices, axis, batch_dims, inside, max_elements)


@op("gather_along_axis", kind="move")
def gather_along_axis(*, x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
    """Take an element of x for each index, whose other coordinates are those of the index.

    Indices have the rank of x; the result has their shape.
    """
    axis = axis_of(axis, x.dim())
    return torch.gather(x, axis, positive(indices, x.shape[axis]))


@op("gather_along_axis", kind="move", since=17)
def gather_along_axis_checked(
    *, x: Tensor, indices: Tensor, axis: int = 0, validate_indices: bool = False
) -> Tensor:
    """Take an element of x for each index, whose other coordinates are those of the index.

    Indices have the rank of x; the result has their shape.
    """
    del validate_indices
    axis = axis_of(axis, x.dim())
    return torch.gather(x, axis, inside(indices, x.shape[axis]))


@op("gather_nd", kind="move")
def gather_nd(
    *, x: Tensor, indices: Tensor, batch_dims: int = 0, max_elements: int = MAX_ELEMENTS
) -> Tensor:
    """Take the slices of x whose first coordinates are in the last axis of indices.

    Indices [*I, count] of x [*A, *B], A of so many axes, give [*I, *B].
    """
    return _gathered_nd(x, indices, batch_dims, positive, max_elements)


@op("gather_nd", kind="move", since=17)
def gather_nd_checked(
    *,
    x: Tensor,
    indices: Tensor,
    batch_dims: int = 0,
    validate_indices: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Take the slices of x whose first coordinates are in the last axis of indices.

    Indices [*I, count] of x [*A, *B], A of so many axes, give [*I, *B].
    """
    del validate_indices
    return _gathered_nd(x, indices, batch_dims, inside, max_elements)


def positive(indices: Tensor, size: int) -> Tensor:
    """Give indices counted from the start, as int64.

    Raises:
        OpError: One lies outside the axis.
    """
    index = indices.to(torch.int64)
    return inside(torch.where(index < 0, index + size, index), size)


def inside(indices: Tensor, size: int) -> Tensor:
    """Give indices as int64.

    Raises:
        OpError: One is negative or lies after the end of the axis.
    """
    index = indices.to(torch.int64)
    if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < size):
        raise OpError(f"an index lies outside an axis of {size} elements")
    return index


def _gathered(
    x: Tensor, indices: Tensor, axis: int, batch_dims: int, check: Check, max_elements: int
) -> Tensor:
    axis = axis_of(axis, x.dim())
    index = check(indices, x.shape[axis])
    kept = (*x.shape[batch_dims:axis], *x.shape[axis + 1 :])
    check_room((*index.shape, *kept), max_elements)
    if batch_dims == 0:
        taken = x.index_select(axis, index.reshape(-1))
        return taken.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))
    rows = x.movedim(axis, batch_dims).flatten(0, batch_dims - 1)
    row_index = index.flatten(0, batch_dims - 1)
    taken = rows[_counting(row_index), row_index].unflatten(0, x.shape[:batch_dims])
    between = list(range(index.dim(), index.dim() + axis - batch_dims))
    return taken.movedim(between, list(range(batch_dims, axis)))


def _gathered_nd(
    x: Tensor,
    indices: Tensor,
    batch_dims: int,
    check: Check,
    max_elements: int,
) -> Tensor:
    kept = x.shape[batch_dims + indices.shape[-1] :]
    check_room((*indices.shape[:-1], *kept), max_elements)
    coordinates = [
        check(column, size)
        for column, size in zip(indices.unbind(-1), x.shape[batch_dims:], strict=False)
    ]
    if batch_dims == 0:
        return x[tuple(coordinates)]
    last = batch_dims - 1
    columns = [column.flatten(0, last) for column in coordinates]
    taken = x.flatten(0, last)[(_counting(columns[0]), *columns)]
    return taken.unflatten(0, x.shape[:batch_dims])


def _counting(like: Tensor) -> Tensor:
    """Give the index along the first axis, to be broadcast against a tensor."""
    return torch.arange(like.shape[0]).reshape(-1, *[1] * (like.dim() - 1))
