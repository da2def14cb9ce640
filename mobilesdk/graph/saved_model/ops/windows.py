"""Windows over images: how far they reach beyond the edge, and the order of axes.

TensorFlow keeps images as ``NHWC``, torch as ``NCHW``. With ``SAME`` a window is placed at every
``stride`` pixels, and what lies outside is split between both edges, the odd pixel at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import refused

Pads = tuple[tuple[int, int], tuple[int, int]]


class Window(NamedTuple):
    """Of a convolution or pool, along height and width.

    Attributes:
        strides: In pixels.
        dilations: In pixels.
        pads: Pixels before and behind, for each axis.
    """

    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: Pads

    @property
    def is_symmetric(self) -> bool:
        """Whether there are as many pixels behind as before."""
        return all(before == behind for before, behind in self.pads)

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels before, which is all that ops of torch know."""
        return self.pads[0][0], self.pads[1][0]

    @property
    def widths(self) -> list[int]:
        """Pads as ``torch.nn.functional.pad`` takes them: the last axis first."""
        return [*self.pads[1], *self.pads[0]]


def is_channels_last(node: Node) -> bool:
    """Tell whether images of a node are ``NHWC``; else they are ``NCHW``."""
    if node["data_format"] not in ("NHWC", "NCHW"):
        raise refused(node, f"keeps its images as {node['data_format']}")
    return bool(node["data_format"] == "NHWC")


def channels_first(node: Node, x: Tensor) -> Tensor:
    """Give images as ``NCHW``."""
    return x.permute(0, 3, 1, 2) if is_channels_last(node) else x


def as_before(node: Node, x: Tensor) -> Tensor:
    """Give images in the order of the node."""
    return x.permute(0, 2, 3, 1) if is_channels_last(node) else x


def spatial(node: Node, values: Sequence[int]) -> tuple[int, int]:
    """Give what an attribute says of height and width."""
    images, channels = (1, 2), 3
    if not is_channels_last(node):
        images, channels = (2, 3), 1
    if values[0] != 1 or values[channels] != 1:
        raise refused(node, f"goes over images or channels by {tuple(values)}")
    return values[images[0]], values[images[1]]


def window(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> Window:
    """Give the window of a node.

    Args:
        node: With ``strides`` and ``padding``.
        sizes: Height and width of the images.
        kernel: Height and width of the window, without dilation.
    """
    strides = spatial(node, node["strides"])
    dilations = spatial(node, node.attributes.get("dilations", (1, 1, 1, 1)))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    return Window(strides, dilations, _pads(node, sizes, reach, strides))


def _pads(node: Node, sizes: Sequence[int], reach: Sequence[int], strides: tuple[int, int]) -> Pads:
    if node["padding"] == "VALID":
        return (0, 0), (0, 0)
    if node["padding"] == "EXPLICIT":
        given = node["explicit_paddings"]
        first = 1 if is_channels_last(node) else 2
        height, width = given[2 * first : 2 * first + 2], given[2 * first + 2 : 2 * first + 4]
        return (height[0], height[1]), (width[0], width[1])
    height, width = (
        same_pads(size, window, stride)
        for size, window, stride in zip(sizes, reach, strides, strict=True)
    )
    return height, width


def same_pads(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Give the pixels before and behind an axis with ``SAME``."""
    count = -(-size // stride)
    total = max((count - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
