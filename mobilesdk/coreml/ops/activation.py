"""Activation functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.axes import axis_of
from mobilesdk.coreml.ops.registry import OpError, op


@op("relu", kind="move")
def relu(*, x: Tensor) -> Tensor:
    """Give the larger of x and 0."""
    return torch.relu(x)


@op("relu6", kind="move")
def relu6(*, x: Tensor) -> Tensor:
    """Limit x to 0 … 6."""
    return x.clamp(0, 6)


@op("sigmoid")
def sigmoid(*, x: Tensor) -> Tensor:
    """Give 1 / (1 + exp(-x))."""
    return torch.sigmoid(x)


@op("silu")
def silu(*, x: Tensor) -> Tensor:
    """Give x times its sigmoid."""
    return functional.silu(x)


@op("softplus")
def softplus(*, x: Tensor) -> Tensor:
    """Give log(1 + exp(x))."""
    return torch.logaddexp(x, torch.zeros_like(x))


@op("softsign")
def softsign(*, x: Tensor) -> Tensor:
    """Give x / (1 + |x|)."""
    return functional.softsign(x)


@op("gelu")
def gelu(*, x: Tensor, mode: str = "EXACT") -> Tensor:
    """Give x times the normal distribution function of x, or one of its approximations."""
    if mode == "EXACT":
        return functional.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return functional.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise OpError(f"the mode {mode!r} is not known")


@op("leaky_relu")
def leaky_relu(*, x: Tensor, alpha: float) -> Tensor:
    """Give x, times alpha where it is negative."""
    return functional.leaky_relu(x, alpha)


@op("elu")
def elu(*, x: Tensor, alpha: float) -> Tensor:
    """Give x, and alpha * (exp(x) - 1) where it is negative."""
    return functional.elu(x, alpha)


@op("clamped_relu")
def clamped_relu(*, x: Tensor, alpha: float, beta: float) -> Tensor:
    """Give x, times alpha where it is negative, and at most beta."""
    return functional.leaky_relu(x, alpha).clamp(max=beta)


@op("linear_activation")
def linear_activation(*, x: Tensor, alpha: float, beta: float) -> Tensor:
    """Give alpha * x + beta."""
    return x * alpha + beta


@op("scaled_tanh")
def scaled_tanh(*, x: Tensor, alpha: float, beta: float) -> Tensor:
    """Give alpha * tanh(beta * x)."""
    return alpha * torch.tanh(x * beta)


@op("sigmoid_hard")
def sigmoid_hard(*, x: Tensor, alpha: float, beta: float) -> Tensor:
    """Give alpha * x + beta, limited to 0 … 1."""
    return (x * alpha + beta).clamp(0, 1)


@op("thresholded_relu", kind="move")
def thresholded_relu(*, x: Tensor, alpha: float) -> Tensor:
    """Give x where it is alpha or more, else 0."""
    return torch.where(x >= alpha, x, torch.zeros_like(x))


@op("prelu")
def prelu(*, x: Tensor, alpha: Tensor) -> Tensor:
    """Give x, times the alpha of its channel (axis 1) where it is negative."""
    return torch.where(x > 0, x, x * per_channel(alpha, x))


@op("softplus_parametric")
def softplus_parametric(*, x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Give alpha * log(1 + exp(beta * x)), with the alpha and beta of each channel (axis 1)."""
    scaled = x * per_channel(beta, x)
    return per_channel(alpha, x) * torch.logaddexp(scaled, torch.zeros_like(scaled))


@op("softmax")
def softmax(*, x: Tensor, axis: int = -1) -> Tensor:
    """Give exp(x) over its sum along the axis."""
    return torch.softmax(x, axis_of(axis, x.dim()))


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """Shape one value for each channel so that it broadcasts along axis 1 of x.

    Raises:
        OpError: There are more or fewer values.
    """
    if x.dim() < 2:
        raise OpError(f"values for the channels of a tensor of rank {x.dim()}")
    if values.numel() not in (1, x.shape[1]):
        raise OpError(f"{values.numel()} values for {x.shape[1]} channels")
    return values.reshape(-1, *[1] * (x.dim() - 2))
