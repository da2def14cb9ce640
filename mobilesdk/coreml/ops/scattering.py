"""Writing at indices; for negative and invalid ones see the gathering operations.

Each gives a new tensor of the shape and type of the data. They raise `OpError` for an axis that the
data lack, an index outside of its axis, updates of another shape than what is written, and a mode
that is not known. Sums and products of integers wrap; quotients are held to the type.
Of several updates of one element, all count; with the mode ``update``, the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch import Tensor

from mobilesdk.coreml.ops.axes import axis_of
from mobilesdk.coreml.ops.integers import divided
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.scatter_gather import Check, inside, positive

# From data [elements], positions and updates [updates] to the data updated.
Write = Callable[[Tensor, Tensor, Tensor], Tensor]


@op("scatter")
def scatter(
    *, data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add"
) -> Tensor:
    """Update the slices of data along an axis that indices name.

    Indices [*I] of data [*A, size, *B], with updates [*A, *I, *B].
    """
    return _scatter(data, indices, updates, axis, mode, positive)


@op("scatter", since=17)
def scatter_checked(
    *,
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Update the slices of data along an axis that indices name.

    Indices [*I] of data [*A, size, *B], with updates [*A, *I, *B].
    """
    del validate_indices
    return _scatter(data, indices, updates, axis, mode, inside)


@op("scatter_along_axis")
def scatter_along_axis(
    *, data: Tensor, indices: Tensor, updates: Tensor, axis: int = 0, mode: str = "add"
) -> Tensor:
    """Update an element for each index, whose other coordinates are those of the index.

    Indices and updates have one shape, of the rank of the data.
    """
    return _scatter_along_axis(data, indices, updates, axis, mode, positive)


@op("scatter_along_axis", since=17)
def scatter_along_axis_checked(
    *,
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Update an element for each index, whose other coordinates are those of the index.

    Indices and updates have one shape, of the rank of the data.
    """
    del validate_indices
    return _scatter_along_axis(data, indices, updates, axis, mode, inside)


@op("scatter_nd")
def scatter_nd(*, data: Tensor, indices: Tensor, updates: Tensor, mode: str = "add") -> Tensor:
    """Update the slices of data whose first coordinates are in the last axis of indices.

    Indices [*I, count] of data [*A, *B], A of so many axes, with updates [*I, *B].
    """
    return _scatter_nd(data, indices, updates, mode, positive)


@op("scatter_nd", since=17)
def scatter_nd_checked(
    *,
    data: Tensor,
    indices: Tensor,
    updates: Tensor,
    mode: str = "add",
    validate_indices: bool = False,
) -> Tensor:
    """Update the slices of data whose first coordinates are in the last axis of indices.

    Indices [*I, count] of data [*A, *B], A of so many axes, with updates [*I, *B].
    """
    del validate_indices
    return _scatter_nd(data, indices, updates, mode, inside)


def _scatter(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int, mode: str, check: Check
) -> Tensor:
    axis = axis_of(axis, data.dim())
    index = check(indices, data.shape[axis])
    places = _places(data.shape).index_select(axis, index.reshape(-1))
    return _written(data, places, updates.reshape(places.shape), mode)


def _scatter_along_axis(
    data: Tensor, indices: Tensor, updates: Tensor, axis: int, mode: str, check: Check
) -> Tensor:
    axis = axis_of(axis, data.dim())
    places = _places(data.shape).gather(axis, check(indices, data.shape[axis]))
    return _written(data, places, updates, mode)


def _scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, mode: str, check: Check) -> Tensor:
    columns = indices.unbind(-1)
    coordinates = [check(column, size) for column, size in zip(columns, data.shape, strict=False)]
    return _written(data, _places(data.shape)[tuple(coordinates)], updates, mode)


def _places(shape: torch.Size) -> Tensor:
    return torch.arange(prod(shape)).reshape(shape)


def _written(data: Tensor, places: Tensor, updates: Tensor, mode: str) -> Tensor:
    if mode not in _MODES:
        raise OpError(f"the mode {mode!r} is not known")
    if places.shape != updates.shape:
        raise OpError(f"updates of {list(updates.shape)} for {list(places.shape)} elements")
    flat = data.reshape(-1).clone()
    return _MODES[mode](flat, places.reshape(-1), updates.reshape(-1)).reshape(data.shape)


def _replaced(data: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    array = data.numpy()
    array[places.numpy()] = np.asarray(updates.numpy())  # the last one counts, numpy says
    return data


def _divided(data: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    divisor = torch.ones_like(data).scatter_reduce(0, places, updates, "prod")
    return divided(data, divisor, "trunc")


_MODES: dict[str, Write] = {
    "add": lambda data, places, updates: data.index_add(0, places, updates),
    "div": _divided,
    "max": lambda data, places, updates: data.scatter_reduce(0, places, updates, "amax"),
    "min": lambda data, places, updates: data.scatter_reduce(0, places, updates, "amin"),
    "mul": lambda data, places, updates: data.scatter_reduce(0, places, updates, "prod"),
    "sub": lambda data, places, updates: data.index_add(0, places, updates, alpha=-1),
    "update": _replaced,
}
