"""Choose the elements of a weight that become zero, and set them to zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.rounding import rows_of


def zero_elements(weight: Tensor, role: WeightRole, scheme: WeightScheme) -> Tensor:
    """Zero the elements that a sparse scheme can do without.

    Without a pattern these are exactly ``floor(sparsity * elements)`` of smallest magnitude. With
    ``kept`` they are, of every ``m`` consecutive input channels, all but the ``n`` largest. With
    ``sparse_block_size`` they are the ``ceil(sparsity * blocks)`` blocks of smallest norm. Of equal
    ones those that come first go first, so the result is the same everywhere.

    Args:
        weight: float32, shape as in torch for the role.
        role: What the weight is to the op that takes it.
        scheme: Sparse; its pattern divides the channels.

    Returns:
        A new tensor of the same shape.
    """
    rows = rows_of(weight, role)
    channels, inputs = rows.shape[:2]
    if scheme.kept is not None:
        kept, of = scheme.kept
        groups = rows.reshape(channels, inputs // of, of, -1)
        places = groups.abs().argsort(dim=2, stable=True)
        zeroed = groups.scatter(2, places[:, :, : of - kept], 0.0)
    elif scheme.sparse_block_size is not None:
        blocks = rows.reshape(channels // scheme.sparse_block_size, scheme.sparse_block_size, -1)
        norms = blocks.double().square().sum(1)
        zeros = _smallest(norms, math.ceil(scheme.sparsity * norms.numel()))
        zeroed = blocks.masked_fill(zeros[:, None], 0.0)
    else:
        zeros = _smallest(rows.abs(), int(scheme.sparsity * rows.numel()))
        zeroed = rows.masked_fill(zeros, 0.0)
    return rows_of(zeroed.reshape(rows.shape), role).contiguous()


def kept_elements(weight: Tensor, role: WeightRole, scheme: WeightScheme) -> Tensor:
    """Mark the elements of a sparse weight that formats store.

    These are all that are not zero; with ``sparse_block_size`` all of the blocks that are not all
    zero.

    Args:
        weight: Shape as in torch for the role.
        role: What the weight is to the op that takes it.
        scheme: Sparse.

    Returns:
        bool of the same shape.
    """
    if scheme.sparse_block_size is None:
        return weight != 0
    rows = rows_of(weight != 0, role)
    blocks = rows.reshape(-1, scheme.sparse_block_size, *rows.shape[1:]).any(1)
    return rows_of(blocks.repeat_interleave(scheme.sparse_block_size, 0), role).contiguous()


def _smallest(numbers: Tensor, count: int) -> Tensor:
    """Mark the ``count`` smallest numbers."""
    marks = torch.zeros(numbers.numel(), dtype=torch.bool)
    marks[numbers.flatten().argsort(stable=True)[:count]] = True
    return marks.reshape(numbers.shape)
