"""Sizes of results that are held to the limit before anything of that size is computed.

Results that are no larger than what an operation is given need no check: that was checked before.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import TooLarge
from mobilesdk.coreml.run_limits import RunLimits

MAX_ELEMENTS = RunLimits.elements


def check_room(shape: Iterable[int], max_elements: int) -> None:
    """Refuse a tensor that is too large.

    Raises:
        TooLarge: It has more elements than the limit.
    """
    sizes = list(shape)
    if prod(sizes) > max_elements:
        raise TooLarge(f"a tensor of the shape {sizes}: the limit is {max_elements} elements")


def check_broadcast(max_elements: int, *tensors: Tensor) -> None:
    """Refuse tensors that are too large when broadcast.

    Raises:
        TooLarge: They have more elements than the limit.
    """
    if prod(tensor.numel() for tensor in tensors) > max_elements:  # else they cannot be
        check_room(torch.broadcast_shapes(*(item.shape for item in tensors)), max_elements)


def check_product(x: Tensor, y: Tensor, max_elements: int) -> None:
    """Refuse a product of matrices [..., m, k] and [..., k, n] that is too large.

    Raises:
        TooLarge: It has more elements than the limit.
    """
    if x.numel() * y.numel() > max_elements and x.dim() > 1 and y.dim() > 1:
        batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        check_room((*batch, x.shape[-2], y.shape[-1]), max_elements)
