"""Normalizations; mean and variance are those of the elements themselves (no correction)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.activation import per_channel
from mobilesdk.coreml.ops.arguments import Ints
from mobilesdk.coreml.ops.axes import axes_of
from mobilesdk.coreml.ops.registry import op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room


@op("batch_norm")
def batch_norm(
    *,
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalize each channel (axis 1) with the mean and variance that are given for it."""
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


@op("instance_norm")
def instance_norm(
    *, x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    """Normalize each channel of each sample over its spatial axes."""
    result = _normalize(x, tuple(range(2, x.dim())), epsilon)
    if gamma is not None:
        result = result * per_channel(gamma, x)
    return result if beta is None else result + per_channel(beta, x)


@op("layer_norm")
def layer_norm(
    *,
    x: Tensor,
    axes: Ints | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalize over axes (all by default); gamma and beta have the shape of these axes."""
    over = sorted(axes_of(axes, x.dim())) if axes is not None else list(range(x.dim()))
    if over == list(range(x.dim() - len(over), x.dim())):
        return functional.layer_norm(x, x.shape[over[0] :], gamma, beta, epsilon)
    result = _normalize(x, tuple(over), epsilon)
    shape = [x.shape[axis] if axis in over else 1 for axis in range(x.dim())]
    if gamma is not None:
        result = result * gamma.reshape(shape)
    return result if beta is None else result + beta.reshape(shape)


@op("l2_norm")
def l2_norm(*, x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Divide by the root of the sum of squares, plus epsilon, of the last three axes."""
    return x / torch.sqrt(torch.square(x).sum((-3, -2, -1), keepdim=True) + epsilon)


@op("local_response_norm")
def local_response_norm(
    *,
    x: Tensor,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Normalize over neighbouring channels; rank 3 is [C, H, W], without a batch axis."""
    check_room((x.shape[0], x.shape[1] + size, *x.shape[2:]), max_elements)
    batch = x.unsqueeze(0) if x.dim() == 3 else x
    result = functional.local_response_norm(batch, size, alpha, beta, k)
    return result.reshape(x.shape)


def _normalize(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt(torch.square(centred).mean(axes, keepdim=True) + epsilon)
