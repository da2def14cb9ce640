"""Integer weights for XNNPACK, re-derived from values that already lie on their grid.

A compressor leaves the values of a weight on the grid of its scheme, with the largest value of
every channel or block at the end of the range. Dividing by ``maximum / limit`` then gives the
integers back exactly, with no observer and no smallest scale in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # defines the ops below

from mobilesdk.core.scheme import WeightScheme

_decomposed = torch.ops.quantized_decomposed

LIMITS = {8: 127, 4: 7}
"""Bits → largest integer of a symmetric grid."""

_STORED_RANGES = {8: (-128, 127), 4: (-8, 7)}


@dataclass(frozen=True)
class StoredWeight:
    """What a file is to hold for a weight.

    Attributes:
        values: float32, shape of the weight: what the stored integers decode to.
        scheme: How it is stored.
        reason: Why that is not what the compressor planned; empty when it is.
    """

    values: torch.Tensor
    scheme: WeightScheme
    reason: str = ""


@dataclass(frozen=True)
class IntegerWeight:
    """A weight as integers and scales.

    Attributes:
        values: int8, shape of the weight.
        scales: float32: ``[]`` per tensor, ``[channels]`` per channel, ``[channels, blocks]``.
        axis: Axis of the output channels.
        scheme: How it is stored.
    """

    values: torch.Tensor
    scales: torch.Tensor
    axis: int
    scheme: WeightScheme

    def decoded(self) -> torch.Tensor:
        """Give the float32 values that the integers stand for."""
        return self.values * _spread(self.scales, self.values, self.axis, self.scheme)


def round_weight(
    weight: torch.Tensor,
    scheme: WeightScheme,
    axis: int,
    smallest_scales: torch.Tensor | None = None,
) -> IntegerWeight:
    """Give the integers and scales of a weight.

    Scales of blocks are rounded to bfloat16, because that is how XNNPACK stores them.

    Args:
        weight: float32, its values on the grid of ``scheme``.
        scheme: ``linear``, symmetric, 4 or 8 bits.
        axis: Axis of the output channels; blocks lie along axis 1 of a matrix.
        smallest_scales: float32 ``[channels]``: a channel's scale is at least this.
    """
    limit = LIMITS[scheme.bits]
    scales = _filled(_maxima(weight, scheme, axis) / limit)
    if smallest_scales is not None:
        scales = torch.maximum(scales, smallest_scales)
    values = (weight / _spread(scales, weight, axis, scheme)).round().clamp(-limit, limit)
    if scheme.block_size is not None:
        scales = scales.to(torch.bfloat16).to(torch.float32)
    return IntegerWeight(values.to(torch.int8), scales, axis, scheme)


def smallest_scales(bias: torch.Tensor, input_scale: float) -> torch.Tensor:
    """Give the weight scales below which a bias no longer fits into its 32-bit integer.

    XNNPACK stores a bias in units of input scale times weight scale. A channel whose weights are
    all but zero would have so small a unit that its bias would be cut off.

    Args:
        bias: float32 ``[channels]``.
        input_scale: Scale of the op's input.
    """
    headroom = float(2**30)
    return bias.abs() / (headroom * input_scale)


def insert_weight(
    graph: torch.fx.Graph, name: str, weight: IntegerWeight
) -> tuple[torch.fx.Node, torch.fx.Node | float]:
    """Add the integers and scales of a weight to a graph as constants, once per weight.

    Returns:
        Nodes of the integers and of the scales; a number in place of the scale of a tensor.
    """
    values = constant(graph, f"{name}.int{weight.scheme.bits}", weight.values)
    if weight.scheme.granularity == "per_tensor":
        return values, float(weight.scales)
    return values, constant(graph, f"{name}.scales", weight.scales)


def dequantize_node(graph: torch.fx.Graph, name: str, weight: IntegerWeight) -> torch.fx.Node:
    """Insert the op that turns the integers of a weight to float32, in the form XNNPACK takes."""
    values, scales = insert_weight(graph, name, weight)
    low, high = _STORED_RANGES[weight.scheme.bits]
    if isinstance(scales, float):
        target, arguments = (
            _decomposed.dequantize_per_tensor.default,
            (scales, 0, low, high, torch.int8),
        )
        return graph.call_function(target, (values, *arguments))
    zeros = constant(graph, f"{name}.zero_points", torch.zeros_like(weight.scales).long())
    if weight.scheme.block_size is None:
        grid: Sequence[Any] = (weight.axis, low, high, torch.int8)
        return graph.call_function(
            _decomposed.dequantize_per_channel.default, (values, scales, zeros, *grid)
        )
    grid = (low, high, torch.int8, weight.scheme.block_size, torch.float32)
    return graph.call_function(
        _decomposed.dequantize_per_channel_group.default, (values, scales, zeros, *grid)
    )


def constant(graph: torch.fx.Graph, name: str, value: torch.Tensor) -> torch.fx.Node:
    """Add a constant to the module that owns a graph, unless it is there, and take it."""
    module = graph.owning_module
    name = name.replace(".", "_")
    if not hasattr(module, name):
        module.register_buffer(name, value)
    return graph.get_attr(name)


def attribute(module: torch.fx.GraphModule, name: str) -> torch.Tensor:
    """Give a parameter or buffer by its fully qualified name."""
    owner, _, last = name.rpartition(".")
    tensor: torch.Tensor = getattr(module.get_submodule(owner), last)
    return tensor.detach()


def _maxima(weight: torch.Tensor, scheme: WeightScheme, axis: int) -> torch.Tensor:
    magnitudes = weight.abs()
    if scheme.granularity == "per_tensor":
        return magnitudes.amax()
    if scheme.block_size is not None:
        return magnitudes.unflatten(1, (-1, scheme.block_size)).amax(2)
    return magnitudes.amax([other for other in range(weight.dim()) if other != axis])


def _filled(scales: torch.Tensor) -> torch.Tensor:
    """Give channels of zeros a scale: the median of the others, so that no ratio explodes."""
    used = scales[scales > 0]
    replacement = used.median() if used.numel() else torch.ones(())
    return torch.where(scales > 0, scales, replacement)


def _spread(
    scales: torch.Tensor, weight: torch.Tensor, axis: int, scheme: WeightScheme
) -> torch.Tensor:
    """Repeat scales so that they multiply a weight element by element."""
    if scheme.block_size is not None:
        return scales.repeat_interleave(scheme.block_size, 1)
    if scales.dim() == 0:
        return scales
    shape = [1] * weight.dim()
    shape[axis] = -1
    return scales.reshape(shape)
