"""Grids of positions along one axis, and linear interpolation at positions."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError


def grid(mode: str, size: float, count: int) -> Tensor:
    """Give positions on an axis, float64 [count], each in 0 … size - 1.

    Args:
        mode: A sampling mode of MIL: how the positions lie in the axis.
        size: Elements of the axis; a box may end between two.
        count: Positions.

    Raises:
        OpError: The mode is not known.
    """
    index = torch.arange(count, dtype=torch.float64)
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        if count > 1:
            positions = index * (size - 1) / (count - 1)
        else:
            positions = index + (0 if mode == "STRICT_ALIGN_CORNERS" else (size - 1) / 2)
    elif mode == "DEFAULT":
        positions = index * size / count
    elif mode == "OFFSET_CORNERS":
        positions = (index + 0.5) * max(1.0, size - 1) / count
    elif mode == "UNALIGN_CORNERS":
        positions = (index + 0.5) * size / count - 0.5
    else:
        raise OpError(f"the sampling mode {mode!r} is not known")
    return positions.clamp(0, size - 1)


def interpolate(x: Tensor, axis: int, positions: Tensor) -> Tensor:
    """Interpolate linearly along an axis at positions in 0 … size - 1, float64 [count]."""
    below = positions.floor()
    first = below.to(torch.int64)
    second = (first + 1).clamp(max=x.shape[axis] - 1)
    shape = [-1 if other == axis % x.dim() else 1 for other in range(x.dim())]
    weight = (positions - below).to(x.dtype).reshape(shape)
    return x.index_select(axis, first) * (1 - weight) + x.index_select(axis, second) * weight
