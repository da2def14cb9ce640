"""Layers with a weight and a bias, as their ops name the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.fx import Node

_aten = torch.ops.aten


@dataclass(frozen=True)
class Layer:
    """Where an op keeps what belongs to a layer.

    Attributes:
        input: Position of the activations among its arguments.
        weight: Position of the weight.
        bias: Position of the bias.
        channel_axis: Axis of the channels, of both input and output.
    """

    input: Literal[0, 1]
    weight: Literal[1, 2]
    bias: Literal[0, 2]
    channel_axis: Literal[1, -1]


CONVOLUTIONS = frozenset(
    {
        _aten.conv1d,
        _aten.conv2d,
        _aten.conv3d,
        _aten.conv_transpose1d,
        _aten.conv_transpose2d,
        _aten.conv_transpose3d,
    }
)
"""All convolutions of prepared programs, whatever their overload."""
_CONVOLUTION = Layer(input=0, weight=1, bias=2, channel_axis=1)
_LAYERS: dict[Any, Layer] = {
    _aten.conv1d.default: _CONVOLUTION,
    _aten.conv2d.default: _CONVOLUTION,
    _aten.conv3d.default: _CONVOLUTION,
    _aten.conv1d.padding: _CONVOLUTION,
    _aten.conv2d.padding: _CONVOLUTION,
    _aten.conv3d.padding: _CONVOLUTION,
    _aten.convolution.default: _CONVOLUTION,
    _aten.conv_transpose1d.default: _CONVOLUTION,
    _aten.conv_transpose2d.input: _CONVOLUTION,
    _aten.conv_transpose3d.input: _CONVOLUTION,
    _aten.linear.default: Layer(input=0, weight=1, bias=2, channel_axis=-1),
    _aten.addmm.default: Layer(input=1, weight=2, bias=0, channel_axis=-1),
}


def layer_of(node: Node) -> Layer | None:
    """Tell how to take a node apart if it is a layer."""
    return _LAYERS.get(node.target)


def argument(node: Node, place: int) -> Node | None:
    """Give an argument of a node if it is there and is a node."""
    value = node.args[place] if place < len(node.args) else None
    return value if isinstance(value, Node) else None
