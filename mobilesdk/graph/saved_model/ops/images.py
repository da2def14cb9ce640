"""Resizing of images.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/ResizeBilinear
"""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Array, Family, integers, refused

OPS = Family()
_functional = torch.nn.functional
_HINT = (
    "resize with tf.image.resize, or a layer of Keras, which place pixels by their centers, and "
    "save the model again."
)


@OPS("ResizeBilinear", host=(1,))
def _resize_bilinear(node: Node, x: Tensor, size: Array) -> Tensor:
    if not node["align_corners"] and not node["half_pixel_centers"]:
        raise refused(node, "places pixels by their upper left corners", _HINT)
    images = x.permute(0, 3, 1, 2).to(torch.float32)
    resized = _functional.interpolate(
        images, integers(size), mode="bilinear", align_corners=node["align_corners"]
    )
    return resized.permute(0, 2, 3, 1)


@OPS("ResizeNearestNeighbor", host=(1,))
def _resize_nearest(node: Node, x: Tensor, size: Array) -> Tensor:
    if node["align_corners"]:
        raise refused(node, "aligns corners", _HINT)
    mode = "nearest-exact" if node["half_pixel_centers"] else "nearest"
    resized = _functional.interpolate(x.permute(0, 3, 1, 2), integers(size), mode=mode)
    return resized.permute(0, 2, 3, 1)
