"""Shapes, and the order in which elements lie.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/Reshape
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import (
    Array,
    Family,
    integers,
    refused,
    torch_dtype,
)

OPS = Family()
_functional = torch.nn.functional


@OPS("Shape", of_shape=True)
def _shape_of(node: Node, x: Tensor) -> Tensor:
    return torch.tensor(x.shape, dtype=torch_dtype(node, node["out_type"]))


@OPS("Size", of_shape=True)
def _size_of(node: Node, x: Tensor) -> Tensor:
    return torch.tensor(x.numel(), dtype=torch_dtype(node, node["out_type"]))


@OPS("Rank", of_shape=True)
def _rank_of(_node: Node, x: Tensor) -> Tensor:
    return torch.tensor(x.dim(), dtype=torch.int32)


@OPS("Reshape", host=(1,))
def _reshape(_node: Node, x: Tensor, shape: Array) -> Tensor:
    return x.reshape(integers(shape))


@OPS("EnsureShape")
def _ensure_shape(_node: Node, x: Tensor) -> Tensor:
    return x


@OPS("ExpandDims", host=(1,))
def _expand_dims(_node: Node, x: Tensor, axis: Array) -> Tensor:
    return x.unsqueeze(int(axis.item()))


@OPS("Squeeze")
def _squeeze(node: Node, x: Tensor) -> Tensor:
    axes = [axis % x.dim() for axis in node["squeeze_dims"]]
    found = axes or [axis for axis, size in enumerate(x.shape) if size == 1]
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in found])


@OPS("Transpose", host=(1,))
def _transpose(_node: Node, x: Tensor, order: Array) -> Tensor:
    return x.permute(integers(order))


@OPS("InvertPermutation", host=(0,))
def _inverse(_node: Node, order: Array) -> Tensor:
    return torch.from_numpy(np.argsort(order).astype(order.dtype))


@OPS("ConcatV2", host=(-1,))
def _concat(_node: Node, *operands: Tensor) -> Tensor:
    *parts, axis = operands
    return torch.cat(parts, int(axis))


@OPS("Concat", host=(0,))
def _concat_along_first(_node: Node, axis: Array, *parts: Tensor) -> Tensor:
    return torch.cat(parts, int(axis))


@OPS("Pack")
def _stack(node: Node, *parts: Tensor) -> Tensor:
    return torch.stack(parts, node["axis"])


@OPS("Unpack")
def _unstack(node: Node, x: Tensor) -> Any:
    return torch.unbind(x, node["axis"])


@OPS("Split", host=(0,))
def _split(node: Node, axis: Array, x: Tensor) -> Any:
    return torch.chunk(x, node["num_split"], int(axis))


@OPS("SplitV", host=(1, 2))
def _split_by_sizes(_node: Node, x: Tensor, sizes: Array, axis: Array) -> Any:
    """One size may be -1: what is left."""
    place, given = int(axis), list(integers(sizes))
    left = x.shape[place] - sum(size for size in given if size >= 0)
    return torch.split(x, [left if size < 0 else size for size in given], place)


@OPS("Tile", host=(1,))
def _tile(_node: Node, x: Tensor, counts: Array) -> Tensor:
    return x.repeat(integers(counts)) if x.dim() else x


@OPS("BroadcastTo", host=(1,))
def _broadcast_to(_node: Node, x: Tensor, shape: Array) -> Tensor:
    return x.expand(integers(shape))


@OPS("BroadcastArgs", host=(0, 1))
def _broadcast_shapes(_node: Node, first: Array, second: Array) -> Tensor:
    shape = torch.broadcast_shapes(integers(first), integers(second))
    return torch.from_numpy(np.array(shape, dtype=first.dtype))


@OPS("Fill", host=(0,))
def _fill(_node: Node, shape: Array, value: Tensor) -> Tensor:
    return value.expand(integers(shape))


@OPS("ReverseV2", host=(1,))
def _reverse(_node: Node, x: Tensor, axes: Array) -> Tensor:
    return x.flip(integers(axes))


@OPS("Roll", host=(1, 2))
def _roll(_node: Node, x: Tensor, shifts: Array, axes: Array) -> Tensor:
    return torch.roll(x, integers(shifts), integers(axes))


@OPS("Pad", host=(1,))
def _pad(_node: Node, x: Tensor, pads: Array) -> Tensor:
    return _functional.pad(x, _widths(pads))


@OPS("PadV2", host=(1, 2))
def _pad_with_value(_node: Node, x: Tensor, pads: Array, value: Array) -> Tensor:
    return _functional.pad(x, _widths(pads), value=value.item())


def _widths(pads: Array) -> list[int]:
    """Give pads of ``[axis, (before, behind)]`` with the last axis first."""
    return [int(width) for pair in reversed(pads.tolist()) for width in pair]


@OPS("MirrorPad", host=(1,))
def _mirror_pad(node: Node, x: Tensor, pads: Array) -> Tensor:
    """``REFLECT`` leaves the edge out of what it repeats, ``SYMMETRIC`` does not."""
    widths = [(int(before), int(behind)) for before, behind in pads.tolist()]
    is_image = len(widths) == 4 and widths[0] == widths[3] == (0, 0)
    if is_image and node["mode"] == "REFLECT":
        around = [*widths[2], *widths[1]]
        images = _functional.pad(x.permute(0, 3, 1, 2), around, mode="reflect")
        return images.permute(0, 2, 3, 1)
    for axis, width in enumerate(widths):
        if any(width):
            places = np.pad(np.arange(x.shape[axis]), width, mode=node["mode"].lower())
            x = torch.index_select(x, axis, torch.from_numpy(places))
    return x


@OPS("SpaceToDepth")
def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    _require_channels_last(node)
    size, (count, height, width, channels) = node["block_size"], x.shape
    blocks = x.reshape(count, height // size, size, width // size, size, channels)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(count, height // size, width // size, -1)


@OPS("DepthToSpace")
def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    _require_channels_last(node)
    size, (count, height, width, channels) = node["block_size"], x.shape
    blocks = x.reshape(count, height, width, size, size, channels // size**2)
    return blocks.permute(0, 1, 3, 2, 4, 5).reshape(count, height * size, width * size, -1)


def _require_channels_last(node: Node) -> None:
    if node["data_format"] != "NHWC":
        raise refused(node, f"keeps its images as {node['data_format']}")


@OPS("SpaceToBatchND", host=(1, 2))
def _space_to_batch(_node: Node, x: Tensor, block: Array, pads: Array) -> Tensor:
    sizes = integers(block)
    rest = x.dim() - 1 - len(sizes)
    padded = _functional.pad(x, _widths(np.array([(0, 0), *pads.tolist(), *[(0, 0)] * rest])))
    count, *spatial = padded.shape
    split = [size for n, by in zip(spatial, sizes, strict=False) for size in (n // by, by)]
    kept = spatial[len(sizes) :]
    blocks = padded.reshape([count, *split, *kept])
    inner = [2 * place + 2 for place in range(len(sizes))]
    outer = [2 * place + 1 for place in range(len(sizes))]
    last = range(1 + 2 * len(sizes), blocks.dim())
    moved = blocks.permute([*inner, 0, *outer, *last])
    return moved.reshape([-1, *(n // by for n, by in zip(spatial, sizes, strict=False)), *kept])


@OPS("BatchToSpaceND", host=(1, 2))
def _batch_to_space(_node: Node, x: Tensor, block: Array, crops: Array) -> Tensor:
    sizes = integers(block)
    rank, (count, *spatial) = len(sizes), x.shape
    blocks = x.reshape([*sizes, count // int(np.prod(sizes)), *spatial])
    pairs = [axis for place in range(rank) for axis in (rank + 1 + place, place)]
    moved = blocks.permute([rank, *pairs, *range(2 * rank + 1, blocks.dim())])
    joined = [n * by for n, by in zip(spatial, sizes, strict=False)]
    whole = moved.reshape([moved.shape[0], *joined, *spatial[rank:]])
    return _cropped(whole, crops.tolist())


def _cropped(x: Tensor, crops: Sequence[Sequence[int]]) -> Tensor:
    for axis, (before, behind) in enumerate(crops, start=1):
        x = x.narrow(axis, before, x.shape[axis] - before - behind)
    return x
