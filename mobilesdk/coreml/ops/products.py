"""Sums of products, with partial sums in float16 where that is asked for.

``products_per_sum`` is None for sums in float32, as torch has them. Else the partial sum is rounded
to float16 after every so many products, and sums in between are float32: how far a device that adds
so may be away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product as combinations

import torch
from torch import Tensor
from torch.nn import functional

from mobilesdk.coreml.precision import round_float16


def product(left: Tensor, right: Tensor, products_per_sum: int | None) -> Tensor:
    """Multiply matrices [..., m, k] and [..., k, n], or vectors [k]."""
    if products_per_sum is None or not left.is_floating_point():
        return torch.matmul(left, right)
    row_wise = right.dim() > 1
    total = torch.zeros(())
    for part in _parts(left.shape[-1], products_per_sum):
        rows = right[..., part, :] if row_wise else right[part]
        total = round_float16(total + torch.matmul(left[..., part], rows))
    return total


def linear_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, products_per_sum: int | None
) -> Tensor:
    """Multiply x [..., in] with the transpose of weight [out, in], and add bias [out]."""
    if products_per_sum is None or not x.is_floating_point():
        return functional.linear(x, weight, bias)
    result = product(x, weight.mT, products_per_sum)
    return result if bias is None else result + bias


def convolution(
    x: Tensor,
    weight: Tensor,
    strides: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    products_per_sum: int,
) -> Tensor:
    """Convolve x [n, C_in, *sizes], padded, with weight [C_out, C_in / groups, *kernel].

    Products are summed channel by channel, each in the order of the kernel.
    """
    axes = x.dim() - 2
    windows = x
    for axis in range(axes):
        reach = (weight.shape[2 + axis] - 1) * dilations[axis] + 1
        windows = windows.unfold(2 + axis, reach, strides[axis])[..., :: dilations[axis]]
    sizes = windows.shape[2 : 2 + axes]
    # [n, C, *sizes, *kernel] to [n, groups, places, C / groups * kernel]
    windows = windows.flatten(2, 1 + axes).flatten(3).unflatten(1, (groups, -1))
    windows = windows.transpose(2, 3).flatten(3)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1).mT
    result = product(windows, kernels, products_per_sum).mT
    return result.reshape(x.shape[0], weight.shape[0], *sizes)


def einsum(equation: str, values: Sequence[Tensor], products_per_sum: int | None) -> Tensor:
    """Sum products as an equation without spaces says; in parts along the last label summed."""
    given, _, kept = equation.partition("->")
    terms = given.split(",")
    summed = [label for label in dict.fromkeys(given.replace(",", "")) if label not in kept]
    floats = values[0].is_floating_point()
    if products_per_sum is None or not floats or not summed or len(values) < 2:
        return torch.einsum(equation, *values)
    sizes = {
        label: size
        for term, value in zip(terms, values, strict=True)
        for label, size in zip(term, value.shape, strict=True)
    }
    ranges = [list(_parts(sizes[label], 1)) for label in summed[:-1]]
    ranges.append(list(_parts(sizes[summed[-1]], products_per_sum)))
    total = torch.zeros(())
    for chosen in combinations(*ranges):
        parts = dict(zip(summed, chosen, strict=True))
        cut = [
            value[tuple(parts.get(label, slice(None)) for label in term)]
            for term, value in zip(terms, values, strict=True)
        ]
        total = round_float16(total + torch.einsum(equation, *cut))
    return total


def _parts(size: int, count: int) -> Iterator[slice]:
    return (slice(start, min(start + count, size)) for start in range(0, size, count))
