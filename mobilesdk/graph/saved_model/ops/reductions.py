"""Sums and extremes over axes.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/Sum
"""

from __future__ import annotations

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


def _axes(x: Tensor, axes: Array) -> list[int]:
    return [axis % x.dim() for axis in integers(axes)] if x.dim() else []


@OPS("Sum", host=(1,))
def _total(node: Node, x: Tensor, axes: Array) -> Tensor:
    found = _axes(x, axes)
    return x.sum(found, keepdim=node["keep_dims"], dtype=x.dtype) if found else x


@OPS("Mean", host=(1,))
def _mean(node: Node, x: Tensor, axes: Array) -> Tensor:
    if not x.is_floating_point():
        raise refused(node, "is a mean of integers")
    found = _axes(x, axes)
    return x.mean(found, keepdim=node["keep_dims"]) if found else x


@OPS("Max", host=(1,))
def _largest(node: Node, x: Tensor, axes: Array) -> Tensor:
    found = _axes(x, axes)
    return x.amax(found, keepdim=node["keep_dims"]) if found else x


@OPS("Min", host=(1,))
def _smallest(node: Node, x: Tensor, axes: Array) -> Tensor:
    found = _axes(x, axes)
    return x.amin(found, keepdim=node["keep_dims"]) if found else x


@OPS("Prod", host=(1,))
def _product(node: Node, x: Tensor, axes: Array) -> Tensor:
    for axis in sorted(_axes(x, axes), reverse=True):
        x = x.prod(axis, keepdim=node["keep_dims"], dtype=x.dtype)
    return x


@OPS("All", host=(1,))
def _every(node: Node, x: Tensor, axes: Array) -> Tensor:
    for axis in sorted(_axes(x, axes), reverse=True):
        x = x.all(axis, keepdim=node["keep_dims"])
    return x


@OPS("Any", host=(1,))
def _some(node: Node, x: Tensor, axes: Array) -> Tensor:
    for axis in sorted(_axes(x, axes), reverse=True):
        x = x.any(axis, keepdim=node["keep_dims"])
    return x


@OPS("EuclideanNorm", host=(1,))
def _norm(node: Node, x: Tensor, axes: Array) -> Tensor:
    return _total(node, x * x, axes).sqrt()


@OPS("ArgMax", host=(1,))
def _place_of_largest(node: Node, x: Tensor, axis: Array) -> Tensor:
    return x.argmax(int(axis)).to(torch_dtype(node, node["output_type"]))


@OPS("ArgMin", host=(1,))
def _place_of_smallest(node: Node, x: Tensor, axis: Array) -> Tensor:
    return x.argmin(int(axis)).to(torch_dtype(node, node["output_type"]))


@OPS("TopKV2", host=(1,))
def _largest_in_order(node: Node, x: Tensor, count: Array) -> tuple[Tensor, Tensor]:
    """Sorted in any case: TensorFlow says nothing of the order otherwise."""
    values, places = torch.topk(x, int(count), sorted=True)
    return values, places.to(torch_dtype(node, node["index_type"]))


@OPS("Cumsum", host=(1,))
def _running_total(node: Node, x: Tensor, axis: Array) -> Tensor:
    place = int(axis)
    if node["reverse"]:
        x = x.flip(place)
    sums = torch.cumsum(x, place, dtype=x.dtype)
    if node["exclusive"]:
        sums = sums - x
    return sums.flip(place) if node["reverse"] else sums
