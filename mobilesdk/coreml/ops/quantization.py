"""Linear quantization of activations."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.axes import axis_of
from mobilesdk.coreml.ops.registry import OpError, op

_RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


@op("quantize", kind="move", since=17)
def quantize(
    *,
    input: Tensor,
    scale: Tensor,
    output_dtype: str,
    zero_point: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """Give input / scale, rounded to even, plus the zero point, limited to the type."""
    if output_dtype not in _RANGES:
        raise OpError(f"the type {output_dtype!r} is not known")
    if not bool(torch.isfinite(scale).all()) or bool((scale == 0).any()):
        raise OpError("a scale that is 0, infinite or NaN")
    whole = (input / _along(scale, input, axis)).round()
    if zero_point is not None:
        whole = whole + _along(zero_point, input, axis)
    return whole.clamp(*_RANGES[output_dtype]).to(torch.int64)


@op("dequantize", since=17)
def dequantize(
    *, input: Tensor, scale: Tensor, zero_point: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """Give (input - zero point) * scale."""
    whole = input.to(scale.dtype)
    if zero_point is not None:
        whole = whole - _along(zero_point, input, axis)
    return whole * _along(scale, input, axis)


def _along(values: Tensor, x: Tensor, axis: int | None) -> Tensor:
    if values.dim() == 0 or values.numel() == 1:
        return values.reshape(())
    if axis is None:
        raise OpError(f"{values.numel()} scales or zero points without an axis")
    axis = axis_of(axis, x.dim())
    if values.numel() != x.shape[axis]:
        raise OpError(f"{values.numel()} scales or zero points for {x.shape[axis]} channels")
    return values.reshape([-1 if other == axis else 1 for other in range(x.dim())])
