"""Parts of tensors at places that are known.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/StridedSlice
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Array, Family, integers, refused

OPS = Family()


@OPS("Slice", host=(1, 2))
def _part(_node: Node, x: Tensor, begin: Array, size: Array) -> Tensor:
    """A size of -1 means all that is left."""
    for axis, (start, count) in enumerate(zip(integers(begin), integers(size), strict=True)):
        length = x.shape[axis] - start if count < 0 else count
        if (start, length) != (0, x.shape[axis]):
            x = x.narrow(axis, start, length)
    return x


class _Item(NamedTuple):
    """What is taken along an axis.

    Attributes:
        kind: ``range``, ``one`` (the axis goes), ``new`` (there is no axis yet).
        begin: ``None``: from the end that the step starts from.
        end: ``None``: up to the end that the step leads to.
        step: Never 0.
    """

    kind: str
    begin: int | None = None
    end: int | None = None
    step: int = 1


@OPS("StridedSlice", host=(1, 2, 3))
def _strided_slice(node: Node, x: Tensor, begin: Array, end: Array, strides: Array) -> Tensor:
    """As ``x[begin:end:step, …, new axis, index]`` of NumPy."""
    axis = 0
    for item in _items(node, x.dim(), begin, end, strides):
        if item.kind == "new":
            x = x.unsqueeze(axis)
        elif item.kind == "one":
            x = x.select(axis, item.begin or 0)
            continue
        else:
            x = _stepped(x, axis, item)
        axis += 1
    return x


def _items(node: Node, rank: int, begin: Array, end: Array, strides: Array) -> list[_Item]:
    """Read the masks, whose bits count the places in ``begin``."""
    begins, ends, steps = integers(begin), integers(end), integers(strides)

    def has(mask: str, place: int) -> bool:
        return bool(node[mask] >> place & 1)

    items: list[_Item] = []
    ellipsis = len(begins)
    for place, (start, stop, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if has("ellipsis_mask", place):
            ellipsis = len(items)
        elif has("new_axis_mask", place):
            items.append(_Item("new"))
        elif has("shrink_axis_mask", place):
            items.append(_Item("one", start))
        elif step == 0:
            raise refused(node, "has a step of 0")
        else:
            first = None if has("begin_mask", place) else start
            last = None if has("end_mask", place) else stop
            items.append(_Item("range", first, last, step))
    missing = rank - sum(item.kind != "new" for item in items)
    items[ellipsis:ellipsis] = [_Item("range")] * missing
    return items


def _stepped(x: Tensor, axis: int, item: _Item) -> Tensor:
    places = range(*slice(item.begin, item.end, item.step).indices(x.shape[axis]))
    if places == range(x.shape[axis]):
        return x
    if not places:
        return x.narrow(axis, 0, 0)
    low, high = min(places), max(places) + 1
    taken = torch.ops.aten.slice.Tensor(x, axis, low, high, abs(item.step))
    return taken.flip(axis) if item.step < 0 else taken
