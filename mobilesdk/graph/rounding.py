"""Round weights to integer grids that any exporter derives again from the rounded values.

Scales are anchored to the extreme values of their channel or block, as min-max calibration does, so
the extremes stay on the ends of the grid. Scales have few significant bits: every product of a
scale and an integer is exact in float32, and (within its exponents) the scale itself is exact in
float16 (8-bit grids) or in bfloat16 too (grids of 2 and 4 bits). Deriving the grid again therefore
gives the same bits, in formats with float32 scales and with half-precision scales alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mobilesdk.core.scheme import WeightRole, WeightScheme

_SMALLEST_SCALE = 2.0**-100
_SCALE_BITS = {2: 8, 4: 8, 8: 11}


def round_linear(weight: Tensor, role: WeightRole, scheme: WeightScheme) -> tuple[Tensor, Tensor]:
    """Move a weight onto the grid of a linear scheme.

    A channel or block of zeros stays zero, and a zero stays zero in every scheme.

    Args:
        weight: float32, shape as in torch for the role.
        role: What the weight is to the op that takes it.
        scheme: Linear; a block size divides the number of input channels.

    Returns:
        The values on the grid, float32 of the same shape, and the scales, float32 of shape
        ``[output channels or 1, blocks or 1]``.
    """
    blocks = to_blocks(weight, role, scheme)
    grid = linear_grid(weight, role, scheme)
    integers = (blocks / grid.scale).round().clamp(grid.lowest, grid.highest)
    if not scheme.symmetric:
        high = blocks.amax(dim=-1, keepdim=True)
        integers = torch.where((blocks == high) & (high > 0), grid.highest, integers)
    return from_blocks(integers * grid.scale, weight, role), grid.scale.squeeze(-1)


@dataclass(frozen=True)
class Grid:
    """The integers of a weight and what a step of them is worth.

    Attributes:
        scale: float32 ``[channels, blocks, 1]``, as in `to_blocks`.
        lowest: The least integer, counted from that of zero; broadcasts to the same shape.
        highest: The greatest.
    """

    scale: Tensor
    lowest: Tensor
    highest: Tensor


def linear_grid(weight: Tensor, role: WeightRole, scheme: WeightScheme) -> Grid:
    """Give the grid of a linear scheme whose ends are the extremes of each channel or block."""
    blocks = to_blocks(weight, role, scheme)
    low = blocks.amin(dim=-1, keepdim=True).clamp_max(0.0)
    high = blocks.amax(dim=-1, keepdim=True).clamp_min(0.0)
    if scheme.symmetric:
        top = 2 ** (scheme.bits - 1) - 1
        scale = scales(torch.maximum(high, -low) / top, scheme.bits)
        return Grid(scale, torch.full_like(scale, -top), torch.full_like(scale, top))
    top = 2**scheme.bits - 1
    scale = scales((high - low) / top, scheme.bits)
    zero_point = (-low / scale).round().clamp(0, top)
    return Grid(scale, -zero_point, top - zero_point)


def to_blocks(weight: Tensor, role: WeightRole, scheme: WeightScheme) -> Tensor:
    """Arrange a weight as ``[channels or groups, blocks, elements]``: the last shares a grid."""
    rows = rows_of(weight, role)
    if scheme.granularity == "per_tensor":
        return rows.reshape(1, 1, -1)
    if scheme.group_size is not None:
        return rows.reshape(rows.shape[0] // scheme.group_size, 1, -1)
    if scheme.block_size is not None:
        positions = rows[0].numel() // rows.shape[1]
        return rows.reshape(rows.shape[0], -1, scheme.block_size * positions)
    return rows.reshape(rows.shape[0], 1, -1)


def from_blocks(blocks: Tensor, weight: Tensor, role: WeightRole) -> Tensor:
    """Undo `to_blocks` for a weight of the shape of ``weight``."""
    return rows_of(blocks.reshape(rows_of(weight, role).shape), role).contiguous()


def rows_of(weight: Tensor, role: WeightRole) -> Tensor:
    """Put the output channels first: swap the first axes of a transposed convolution.

    It is its own inverse.
    """
    return weight.transpose(0, 1) if role == "conv_transpose" else weight


def shorten(values: Tensor, significant_bits: int) -> Tensor:
    """Round to numbers of few significant bits.

    Args:
        values: float32 or float64, any shape.
        significant_bits: 8 is what bfloat16 holds, 11 what float16 holds within its exponents.
    """
    mantissa, exponent = torch.frexp(values)
    steps = 2.0**significant_bits
    return torch.ldexp((mantissa * steps).round() / steps, exponent)


def scales(exact: Tensor, bits: int) -> Tensor:
    """Give short scales; those of channels that are next to nothing become the smallest.

    Args:
        exact: float32 or float64, any shape.
        bits: Of the integers that they multiply.
    """
    return shorten(exact.clamp_min(_SMALLEST_SCALE), _SCALE_BITS[bits])
