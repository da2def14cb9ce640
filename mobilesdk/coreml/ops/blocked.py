"""Sums of products with partial sums in float16: how far a device that adds so may be away.

After every ``products_per_sum`` products the partial sum is rounded to float16. Sums in between are
float32. Operations that are not here keep float32 sums in every mode.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.ops.arguments import Ints
from mobilesdk.coreml.ops.padding import padded_shape, paddings, reversed_flat
from mobilesdk.coreml.ops.registry import accumulation
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_product, check_room
from mobilesdk.coreml.precision import round_float16


@accumulation("matmul")
def matmul(
    *,
    x: Tensor,
    y: Tensor,
    transpose_x: bool = False,
    transpose_y: bool = False,
    products_per_sum: int,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Multiply matrices."""
    left = x.mT if transpose_x and x.dim() > 1 else x
    right = y.mT if transpose_y and y.dim() > 1 else y
    if not left.is_floating_point() and not right.is_floating_point():
        check_product(left, right, max_elements)
        return torch.matmul(left, right)
    return _product(left.float(), right.float(), products_per_sum, max_elements)


@accumulation("linear")
def linear(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    products_per_sum: int,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Multiply with the transpose of weight, and add bias."""
    if not x.is_floating_point():
        check_product(x, weight.mT, max_elements)
        return functional.linear(x, weight, bias)
    product = _product(x, weight.mT, products_per_sum, max_elements)
    return product if bias is None else product + bias


@accumulation("scaled_dot_product_attention")
def scaled_dot_product_attention(
    *,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    products_per_sum: int,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Attend; both products are summed in blocks."""
    scores = _product(query, key.mT, products_per_sum, max_elements) / math.sqrt(query.shape[-1])
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return _product(torch.softmax(scores, -1), value, products_per_sum, max_elements)


@accumulation("conv")
def conv(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints = (),
    dilations: Ints | None = None,
    groups: int = 1,
    products_per_sum: int,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Convolve; products are summed channel by channel, each in the order of the kernel."""
    axes = x.dim() - 2
    strides, dilations = strides or (1,) * axes, dilations or (1,) * axes
    around = paddings(pad_type, pad, x.shape[2:], weight.shape[2:], strides, dilations)
    check_room(padded_shape(x, around), max_elements)
    windows = functional.pad(x, reversed_flat(around))
    for axis in range(axes):
        reach = (weight.shape[2 + axis] - 1) * dilations[axis] + 1
        windows = windows.unfold(2 + axis, reach, strides[axis])[..., :: dilations[axis]]
    sizes = windows.shape[2 : 2 + axes]
    check_room(windows.shape, max_elements)  # copied below
    # [n, C, *sizes, *kernel] to [n, groups, places, C / groups * kernel]
    windows = windows.flatten(2, 1 + axes).flatten(3).unflatten(1, (groups, -1))
    windows = windows.transpose(2, 3).flatten(3)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1).mT
    result = _product(windows, kernels, products_per_sum, max_elements).mT
    result = result.reshape(x.shape[0], weight.shape[0], *sizes)
    return result if bias is None else result + bias.reshape(-1, *[1] * axes)


def _product(left: Tensor, right: Tensor, products_per_sum: int, max_elements: int) -> Tensor:
    check_product(left, right, max_elements)
    depth = left.shape[-1]
    row_wise = right.dim() > 1
    total = torch.zeros(())
    for start in range(0, depth, products_per_sum):
        stop = min(start + products_per_sum, depth)
        part = right[..., start:stop, :] if row_wise else right[start:stop]
        total = round_float16(total + torch.matmul(left[..., start:stop], part))
    return total
