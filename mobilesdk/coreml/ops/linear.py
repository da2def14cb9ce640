"""Products of matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mobilesdk.coreml.ops import products
from mobilesdk.coreml.ops.arguments import Results, Tensors
from mobilesdk.coreml.ops.products import linear_product, product
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_product, check_room
from mobilesdk.coreml.precision import carrier


@op("linear")
def linear(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Give x times the transpose of weight [out, in], plus bias [out], in the type of x."""
    if weight.dim() != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        told = "" if bias is None else f" and a bias of {list(bias.shape)}"
        raise OpError(f"a weight of {list(weight.shape)}{told}, not [out, in] and [out]")
    check_product(x, weight.mT, max_elements)
    if weight.dtype is not x.dtype:
        weight = _converted(weight, x.dtype)
        bias = None if bias is None else _converted(bias, x.dtype)
    return linear_product(x, weight, bias, products_per_sum)


@op("matmul")
def matmul(
    *,
    x: Tensor,
    y: Tensor,
    transpose_x: bool = False,
    transpose_y: bool = False,
    results: Results,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Multiply matrices in the last two axes, the others broadcast; vectors are not transposed.

    Of integers and floats the result has the type of the one that is no constant.
    """
    left = x.mT if transpose_x and x.dim() > 1 else x
    right = y.mT if transpose_y and y.dim() > 1 else y
    check_product(left, right, max_elements)
    if left.dtype is not right.dtype:
        dtype = carrier(results[0].element)
        left, right = _converted(left, dtype), _converted(right, dtype)
    return product(left, right, products_per_sum)


@op("einsum")
def einsum(
    *,
    values: Tensors,
    equation: str,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Sum products as the equation says."""
    _check_einsum(values, equation, max_elements)
    return products.einsum(equation.replace(" ", ""), values, products_per_sum)


@op("scaled_dot_product_attention", since=18)
def scaled_dot_product_attention(
    *,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    products_per_sum: int | None = None,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Give softmax(query key^T / sqrt(width) + mask) value; a boolean mask tells what is kept."""
    check_product(query, key.mT, max_elements)
    scores = product(query, key.mT, products_per_sum) / math.sqrt(query.shape[-1])
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    check_product(scores, value, max_elements)
    return product(torch.softmax(scores, -1), value, products_per_sum)


def _check_einsum(values: Tensors, equation: str, max_elements: int) -> None:
    """Hold what an equation gives to the limit; of more than two factors, all axes together."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    if [len(term) for term in terms] != [value.dim() for value in values]:
        shapes = ", ".join(str(list(value.shape)) for value in values)
        raise OpError(f"the equation {equation!r} for values of {shapes}")
    sizes = {
        label: size
        for term, value in zip(terms, values, strict=True)
        for label, size in zip(term, value.shape, strict=True)
    }
    if not arrow or not set(result) <= set(sizes):
        raise OpError(f"the equation {equation!r} does not say of which axes the result is")
    labels = result if len(values) < 3 else "".join(sizes)
    check_room([sizes[label] for label in labels], max_elements)


def _converted(values: Tensor, dtype: torch.dtype) -> Tensor:
    converted = values.to(dtype)
    if not dtype.is_floating_point and not torch.equal(converted.to(values.dtype), values):
        raise OpError("a product of integers and numbers that are not whole, declared as integers")
    return converted
