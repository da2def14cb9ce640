"""Convolutions and norms.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/Conv2D
"""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Array, Family, integers, refused
from mobilesdk.graph.saved_model.ops.windows import (
    as_before,
    channels_first,
    is_channels_last,
    window,
)

OPS = Family()
_functional = torch.nn.functional


@OPS("Conv2D")
def _conv2d(node: Node, x: Tensor, filters: Tensor) -> Tensor:
    """Filters are ``[height, width, in / groups, out]``."""
    images = channels_first(node, x)
    groups = images.shape[1] // filters.shape[2]
    return as_before(node, _convolved(node, images, filters.permute(3, 2, 0, 1), groups))


@OPS("DepthwiseConv2dNative")
def _depthwise_conv2d(node: Node, x: Tensor, filters: Tensor) -> Tensor:
    """Filters are ``[height, width, in, multiplier]``; outputs of a channel lie together."""
    height, width, channels, multiplier = filters.shape
    weight = filters.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return as_before(node, _convolved(node, channels_first(node, x), weight, channels))


def _convolved(node: Node, images: Tensor, weight: Tensor, groups: int) -> Tensor:
    place = window(node, images.shape[2:], weight.shape[2:])
    padding = place.padding
    if not place.is_symmetric:
        images, padding = _functional.pad(images, place.widths), (0, 0)
    return _functional.conv2d(images, weight, None, place.strides, padding, place.dilations, groups)


@OPS("Conv2DBackpropInput", host=(0,))
def _conv2d_transpose(node: Node, sizes: Array, filters: Tensor, x: Tensor) -> Tensor:
    """The transposed convolution: filters are ``[height, width, out, in]``."""
    images = channels_first(node, x)
    shape = integers(sizes)
    wanted = (shape[1:3] if is_channels_last(node) else shape[2:4]) if len(shape) > 2 else shape
    place = window(node, wanted, filters.shape[:2])
    if images.shape[1] != filters.shape[3]:
        raise refused(node, "has groups")
    full = _functional.conv_transpose2d(
        images,
        filters.permute(3, 2, 0, 1),
        stride=place.strides,
        padding=place.padding,
        output_padding=_missing(node, images, filters, wanted),
        dilation=place.dilations,
    )
    return as_before(node, full[:, :, : wanted[0], : wanted[1]])


def _missing(
    node: Node, images: Tensor, filters: Tensor, wanted: tuple[int, ...]
) -> tuple[int, ...]:
    """Give how many pixels a transposed convolution lacks behind, for each axis."""
    place = window(node, wanted, filters.shape[:2])
    missing = []
    for axis in range(2):
        stride, dilation = place.strides[axis], place.dilations[axis]
        reach = (filters.shape[axis] - 1) * dilation
        given = (images.shape[2 + axis] - 1) * stride - 2 * place.padding[axis] + reach + 1
        lacking = max(wanted[axis] - given, 0)
        if lacking >= max(stride, dilation):
            raise refused(node, f"gives {wanted[axis]} pixels, {lacking} more than it reaches")
        missing.append(lacking)
    return tuple(missing)


@OPS("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _batch_norm(
    node: Node, x: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, ...]:
    """Only its first output can be taken: the others are for training."""
    if node["is_training"]:
        raise refused(
            node,
            "is in training mode",
            "save the model for inference: with training=False, or model.export of Keras.",
        )
    images = channels_first(node, x)
    normed = _functional.batch_norm(images, mean, variance, scale, offset, eps=node["epsilon"])
    return (as_before(node, normed),)
