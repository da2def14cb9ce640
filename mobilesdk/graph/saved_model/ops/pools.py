"""Pools.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/AvgPool
"""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Family
from mobilesdk.graph.saved_model.ops.windows import (
    Window,
    as_before,
    channels_first,
    spatial,
    window,
)

OPS = Family()
_functional = torch.nn.functional


@OPS("MaxPool")
def _max_pool(node: Node, x: Tensor) -> Tensor:
    """Pixels outside are less than all others.

    Where torch has no such padding, the edges are repeated, which is the same: a window that
    reaches beyond an edge holds that edge. Minus infinity would leave integers without a range.
    """
    images = channels_first(node, x)
    kernel = spatial(node, node["ksize"])
    place = window(node, images.shape[2:], kernel)
    padding = place.padding
    if not place.is_symmetric or _is_too_wide(place, kernel):
        for axis, pads in enumerate(place.pads, start=2):
            images = _with_edges(images, axis, *pads)
        padding = (0, 0)
    return as_before(node, _functional.max_pool2d(images, kernel, place.strides, padding))


def _with_edges(images: Tensor, axis: int, before: int, behind: int) -> Tensor:
    first = images.narrow(axis, 0, 1)
    last = images.narrow(axis, images.shape[axis] - 1, 1)
    parts = [*[first] * before, images, *[last] * behind]
    return torch.cat(parts, axis) if before or behind else images


@OPS("AvgPool")
def _average_pool(node: Node, x: Tensor) -> Tensor:
    """Pixels outside are not counted."""
    images = channels_first(node, x)
    kernel = spatial(node, node["ksize"])
    place = window(node, images.shape[2:], kernel)
    if place.is_symmetric and not _is_too_wide(place, kernel):
        pooled = _functional.avg_pool2d(
            images, kernel, place.strides, place.padding, count_include_pad=False
        )
        return as_before(node, pooled)
    ones = torch.ones(1, 1, *images.shape[2:], dtype=images.dtype)
    pooled, shares = (
        _functional.avg_pool2d(_functional.pad(each, place.widths), kernel, place.strides)
        for each in (images, ones)
    )
    return as_before(node, pooled / shares)


def _is_too_wide(place: Window, kernel: tuple[int, int]) -> bool:
    """Tell whether there are more pixels outside than pools of torch take."""
    return any(2 * pad > size for pad, size in zip(place.padding, kernel, strict=True))
