"""What a layer multiplies its weights by, one row for each position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional

from mobilesdk.graph.layers import layer_of
from mobilesdk.graph.pruning.rules_layers import is_transposed

_STRIDE, _PADDING, _DILATION, _DILATION_TRANSPOSED = 3, 4, 5, 7


def patches(node: Node, value: Tensor) -> Tensor:
    """Give the inputs of a layer as rows, so that its output is a matrix product.

    Args:
        node: A linear op, or a convolution of one group.
        value: What it takes.

    Returns:
        ``float32[positions, in]``, or ``[positions, in * taps]`` in the order of the weight.
    """
    layer = layer_of(node)
    if layer is None or layer.channel_axis == -1:
        return value.flatten(0, -2)
    weight: Any = node.args[1]
    kernel = [int(size) for size in weight.meta["val"].shape[2:]]
    if is_transposed(node):
        places = (_STRIDE, _PADDING, _DILATION_TRANSPOSED)
        stride, padding, dilation = (_numbers(node, place, len(kernel)) for place in places)
        size = [int(each) for each in node.meta["val"].shape[2:]]
        return _transposed_rows(value, kernel, stride, padding, dilation, size)
    stride, dilation = (_numbers(node, place, len(kernel)) for place in (_STRIDE, _DILATION))
    padded = functional.pad(value, _padding(node, kernel, dilation))
    return _rows(padded, kernel, stride, dilation)


def _numbers(node: Node, place: int, count: int) -> list[int]:
    """Give an argument of a convolution for each of its axes."""
    given: Any = node.args[place] if len(node.args) > place else int(place != _PADDING)
    numbers = [int(each) for each in (given if isinstance(given, (list, tuple)) else [given])]
    return numbers * count if len(numbers) == 1 else numbers


def _padding(node: Node, kernel: list[int], dilation: list[int]) -> list[int]:
    """Give the padding of a convolution as ``pad`` takes it: the last axis first."""
    given: Any = node.args[_PADDING] if len(node.args) > _PADDING else 0
    if given == "valid":
        return []
    if given == "same":
        totals = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    else:
        pairs = [(each, each) for each in _numbers(node, _PADDING, len(kernel))]
    return [amount for pair in reversed(pairs) for amount in pair]


def _rows(value: Tensor, kernel: list[int], stride: list[int], dilation: list[int]) -> Tensor:
    """Take a window at every position: ``[positions, in * taps]``."""
    windows = value
    for axis, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True)):
        windows = windows.unfold(2 + axis, gap * (size - 1) + 1, step)
        windows = windows[..., ::gap]
    axes = len(kernel)
    positions = range(2, 2 + axes)
    taps = range(2 + axes, 2 + 2 * axes)
    return windows.permute(0, *positions, 1, *taps).flatten(0, axes).flatten(1)


def _transposed_rows(
    value: Tensor,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    size: list[int],
) -> Tensor:
    """The same of a transposed convolution: one of the input with zeros between its values."""
    spread = [step * (length - 1) + 1 for step, length in zip(stride, value.shape[2:], strict=True)]
    sparse = torch.zeros(*value.shape[:2], *spread, dtype=value.dtype)
    sparse[(..., *(slice(None, None, step) for step in stride))] = value
    amounts = []
    for axis in reversed(range(len(kernel))):
        before = dilation[axis] * (kernel[axis] - 1) - padding[axis]
        window = dilation[axis] * (kernel[axis] - 1) + 1
        after = size[axis] - 1 + window - spread[axis] - before
        amounts += [before, after]
    rows = _rows(functional.pad(sparse, amounts), kernel, [1] * len(kernel), dilation)
    grid = rows.unflatten(1, (value.shape[1], *kernel))
    return grid.flip(*range(2, 2 + len(kernel))).flatten(1)
