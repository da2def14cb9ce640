"""Set the smallest elements of a weight to zero."""

from __future__ import annotations

import torch
from torch import Tensor


def zero_smallest(weight: Tensor, ratio: float) -> Tensor:
    """Zero the elements of smallest magnitude, exactly ``floor(ratio * elements)`` of them.

    Of equal magnitudes those that come first go first, so the result is the same everywhere.

    Args:
        weight: float32, any shape.
        ratio: Share of elements, 0 … 1.

    Returns:
        A new tensor of the same shape.
    """
    flat = weight.flatten().clone()
    smallest = torch.argsort(flat.abs(), stable=True)[: int(ratio * flat.numel())]
    flat[smallest] = 0.0
    return flat.reshape(weight.shape)
