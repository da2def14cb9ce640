"""Parts of tensors at places that are computed, and tensors that are made of numbers.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/GatherV2
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Array, Family, refused

OPS = Family()
_functional = torch.nn.functional


@OPS("GatherV2", host=(2,))
def _gather(node: Node, table: Tensor, places: Tensor, axis: Array) -> Tensor:
    along = int(axis) % table.dim()
    shared = node["batch_dims"] % (places.dim() + 1)
    if shared:
        return _gather_in_batches(node, table, places, along, shared)
    return _gathered(table, places, along)


@OPS("Gather", "ResourceGather")
def _gather_rows(node: Node, table: Tensor, places: Tensor) -> Tensor:
    if node.attributes.get("batch_dims", 0):
        raise refused(node, "has batches")
    return _gathered(table, places, 0)


def _gathered(table: Tensor, places: Tensor, axis: int) -> Tensor:
    if axis == 0 and table.dim() == 2 and table.is_floating_point():
        return _functional.embedding(places, table)
    taken = torch.index_select(table, axis, places.reshape(-1))
    return taken.reshape([*table.shape[:axis], *places.shape, *table.shape[axis + 1 :]])


def _gather_in_batches(node: Node, table: Tensor, places: Tensor, axis: int, shared: int) -> Tensor:
    if axis != shared:
        raise refused(node, f"gathers along axis {axis} in batches of {shared} axes")
    count = places[(0,) * shared].numel()
    rest = table.shape[axis + 1 :]
    flat = places.reshape([*places.shape[:shared], count, *[1] * len(rest)])
    wide = flat.expand([*places.shape[:shared], count, *rest]).to(torch.int64)
    taken = torch.gather(table, axis, wide)
    return taken.reshape([*places.shape, *rest])


@OPS("GatherNd")
def _gather_by_coordinates(_node: Node, table: Tensor, places: Tensor) -> Tensor:
    coordinates = torch.unbind(places.to(torch.int64), -1)
    return table[coordinates] if coordinates else table.expand(*places.shape[:-1], *table.shape)


@OPS("OneHot", host=(1,))
def _one_hot(node: Node, places: Tensor, depth: Array, on: Tensor, off: Tensor) -> Tensor:
    axis = node["axis"] % (places.dim() + 1)
    shape = [1] * (places.dim() + 1)
    shape[axis] = int(depth)
    numbers = torch.arange(int(depth), dtype=places.dtype).reshape(shape)
    return torch.where(places.unsqueeze(axis) == numbers, on, off)


@OPS("Range", host=(0, 1, 2))
def _numbers_in_steps(_node: Node, start: Array, limit: Array, step: Array) -> Tensor:
    return torch.from_numpy(np.arange(start, limit, step, dtype=start.dtype))


@OPS("LinSpace", host=(0, 1, 2))
def _numbers_between(_node: Node, start: Array, stop: Array, count: Array) -> Tensor:
    return torch.from_numpy(np.linspace(start, stop, int(count), dtype=start.dtype))


@OPS("MatrixBandPart", host=(1, 2))
def _band(_node: Node, x: Tensor, lower: Array, upper: Array) -> Tensor:
    """A negative count of diagonals keeps all of them."""
    kept = x if int(upper) < 0 else torch.tril(x, int(upper))
    return kept if int(lower) < 0 else torch.triu(kept, -int(lower))
