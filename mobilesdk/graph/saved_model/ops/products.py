"""Products of matrices.

https://www.tensorflow.org/api_docs/python/tf/raw_ops/BatchMatMulV2
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Family

OPS = Family()


@OPS("MatMul")
def _matmul(node: Node, x: Tensor, y: Tensor) -> Tensor:
    left = x.t() if node["transpose_a"] else x
    return torch.matmul(left, y.t() if node["transpose_b"] else y)


@OPS("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _batch_matmul(node: Node, x: Tensor, y: Tensor) -> Tensor:
    left = x.transpose(-1, -2) if node["adj_x"] else x
    return torch.matmul(left, y.transpose(-1, -2) if node["adj_y"] else y)


@OPS("Einsum")
def _einsum(node: Node, *operands: Tensor) -> Tensor:
    """A product with a weight stays an einsum, of which preparation makes a linear layer."""
    equation = node["equation"].replace(" ", "")
    taken, _, result = equation.partition("->")
    first, _, second = taken.partition(",")
    if _is_product(first, second, result) and not _is_layer(first, second, result):
        return _product(first, second, result, *operands)
    return torch.einsum(equation, *operands)


def _is_layer(first: str, second: str, result: str) -> bool:
    """Tell whether the last axes of one operand are summed over with the first of the other."""
    summed = "".join(axis for axis in second if axis in first)
    return (
        first.endswith(summed)
        and second.startswith(summed)
        and result == first.removesuffix(summed) + second.removeprefix(summed)
    )


def _is_product(first: str, second: str, result: str) -> bool:
    """Tell whether an einsum is a product of matrices: no axis is summed over by itself."""
    parts = (first, second, result)
    is_plain = all(part.isalpha() and len(part) == len(set(part)) for part in parts)
    return is_plain and set(first) ^ set(second) <= set(result)


def _product(first: str, second: str, result: str, x: Tensor, y: Tensor) -> Tensor:
    """Write an einsum as ``matmul``, which every format has."""
    shared = [axis for axis in first if axis in second and axis in result]
    summed = [axis for axis in first if axis in second and axis not in result]
    left = [axis for axis in first if axis not in second]
    right = [axis for axis in second if axis not in first]
    if left and right and result.index(left[-1]) > result.index(right[-1]):
        return _product(second, first, result, y, x)
    sizes = dict(zip(first + second, (*x.shape, *y.shape), strict=True))
    product = torch.matmul(
        _matrices(x, first, (shared, left, summed), sizes),
        _matrices(y, second, (shared, summed, right), sizes),
    )
    axes = [*shared, *left, *right]
    whole = product.reshape([sizes[axis] for axis in axes])
    return whole.permute([axes.index(axis) for axis in result])


def _matrices(
    x: Tensor, own: str, groups: tuple[list[str], list[str], list[str]], sizes: dict[str, int]
) -> Tensor:
    """Bring axes into an order, and make one axis of each of the last two groups."""
    moved = x.permute([own.index(axis) for group in groups for axis in group])
    shared, *others = groups
    ends = (prod(sizes[axis] for axis in group) for group in others)
    return moved.reshape([*(sizes[axis] for axis in shared), *ends])
