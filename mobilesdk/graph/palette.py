"""Round weights to small tables of values: weighted k-means in one dimension.

In one dimension clusters are intervals of the sorted values, so dynamic programming finds the best
clustering. It runs over some 512 candidate borders, and Lloyd iterations over all values refine
what it finds. The result is deterministic, and the optimum for up to 512 distinct values, unless
one cluster of the optimum holds more than 16 times the mean share of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.rounding import from_blocks, scales, shorten, to_blocks
from mobilesdk.graph.sparsity import kept_elements

_CANDIDATES = 512
_SMALLEST_SPAN = 64  # candidates that one cluster may span, at least
_SPAN_SHARE = 16  # the same as a multiple of the mean
_REFINEMENTS = 50
_TABLE_SIGNIFICANT_BITS = 11  # of float16, in which formats store tables


def round_palette(
    weight: Tensor, role: WeightRole, scheme: WeightScheme, importance: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Move a weight onto tables of at most ``2 ** scheme.bits`` values.

    Zeros of a sparse scheme stay zero and are no entry: such formats keep them in a mask.

    Args:
        weight: float32, shape as in torch for the role.
        role: What the weight is to the op that takes it.
        scheme: Palette; a group size divides the number of output channels.
        importance: How much an error of each element counts; positive, broadcasts to the shape of
            ``weight``. All count alike when ``None``.

    Returns:
        The rounded values, float32 of the same shape, and each group's table, ascending.
    """
    spread = torch.ones_like(weight) if importance is None else importance.expand_as(weight)
    everything = torch.ones_like(weight, dtype=torch.bool)
    stored = kept_elements(weight, role, scheme) if scheme.sparsity else everything
    groups, importances, masks = (
        to_blocks(each, role, scheme)[:, 0] for each in (weight, spread, stored)
    )
    rounded, tables = torch.zeros_like(groups), []
    for values, weights, kept, result in zip(groups, importances, masks, rounded, strict=True):
        table = cluster(values[kept], weights[kept], 2**scheme.bits)
        table = _stored(table, scheme)
        result[kept] = _nearest(values[kept], table)
        tables.append(table)
    return from_blocks(rounded, weight, role), tables


def _stored(table: Tensor, scheme: WeightScheme) -> Tensor:
    """Give the entries as a format stores them: short floats, or integers times a short scale.

    The scale is anchored to the largest entry, so that it can be found again from the entries.
    """
    if scheme.table_bits is None or not len(table):
        return shorten(table, _TABLE_SIGNIFICANT_BITS).float().unique()
    top = 2 ** (scheme.table_bits - 1) - 1
    scale = scales(table.abs().amax() / top, scheme.table_bits)
    return ((table / scale).round().clamp(-top, top) * scale).float().unique()


def cluster(values: Tensor, importance: Tensor, clusters: int) -> Tensor:
    """Find the centres that make the weighted sum of squared distances smallest.

    Args:
        values: Any real dtype, one axis.
        importance: Positive, one for each value.
        clusters: Largest number of centres.

    Returns:
        float64 centres, ascending; all distinct values where there are not more than ``clusters``.
    """
    distinct, places = values.double().unique(return_inverse=True)
    if len(distinct) <= clusters:
        return distinct
    weight = torch.zeros_like(distinct).index_add_(0, places, importance.double())
    sums = _Sums(distinct, weight / weight.sum())
    borders = _best_borders(sums, _candidate_borders(distinct, weight), clusters)
    return _refine(distinct, sums, borders)


class _Sums:
    """Weighted sums over any interval ``[start, end)`` of the sorted values, in constant time."""

    def __init__(self, values: Tensor, weight: Tensor) -> None:
        self._shift = (weight * values).sum()  # centring keeps the differences of sums accurate
        centred = values - self._shift
        moments = torch.stack([weight, weight * centred, weight * centred**2])
        self._moments = torch.nn.functional.pad(moments.cumsum(1), (1, 0))

    def mean(self, borders: Tensor) -> Tensor:
        """Give the centre of each interval between successive borders."""
        mass, first, _ = self._moments[:, borders].diff(dim=1)
        return first / mass + self._shift

    def cost(self, candidates: Tensor, span: int) -> Tensor:
        """Give the error of one cluster between two candidates; infinite where there is none.

        Returns:
            float64 of shape ``[candidates, span]``: at ``[j, d]`` over the interval
            ``[candidates[j - span + d], candidates[j])``.
        """
        at = self._moments[:, candidates]
        starts = torch.nn.functional.pad(at, (span, 0)).unfold(1, span, 1)[:, : len(candidates)]
        mass, first, second = at[..., None] - starts
        real = torch.arange(len(candidates))[:, None] >= span - torch.arange(span)
        cost = second - first**2 / mass.where(real, torch.ones_like(mass))
        return cost.clamp_min(0.0).masked_fill(~real, torch.inf)


def _candidate_borders(values: Tensor, weight: Tensor) -> Tensor:
    """Give positions in the sorted values: all of them, or equal shares and equal distances."""
    if len(values) <= _CANDIDATES:
        return torch.arange(len(values) + 1)
    steps = torch.linspace(0, 1, _CANDIDATES // 2 + 1, dtype=torch.float64)[1:-1]
    shares = weight.cumsum(0) / weight.sum()
    by_share = torch.searchsorted(shares, steps)
    by_distance = torch.searchsorted(values, values[0] + steps * (values[-1] - values[0]))
    ends = torch.tensor([0, len(values)])
    # One distinct value of each end of the sorted list may lie far out: it gets its own border.
    return torch.cat([ends, by_share, by_distance, torch.tensor([1, len(values) - 1])]).unique()


def _best_borders(sums: _Sums, candidates: Tensor, clusters: int) -> Tensor:
    """Choose the candidates that cut the values into clusters at the least error."""
    count = len(candidates)
    clusters = min(clusters, count - 1)
    span = min(count, max(_SMALLEST_SPAN, _SPAN_SHARE * count // clusters))
    cost = sums.cost(candidates, span)
    best = torch.full((count,), torch.inf, dtype=torch.float64)
    best[0] = 0.0
    steps_back = []
    for _ in range(clusters):
        before = torch.nn.functional.pad(best, (span, 0), value=torch.inf).unfold(0, span, 1)
        best, place = (before[:count] + cost).min(dim=1)
        steps_back.append(span - place)
    chosen = [count - 1]
    for steps in reversed(steps_back):
        chosen.append(chosen[-1] - int(steps[chosen[-1]]))
    return candidates[chosen[::-1]]


def _refine(values: Tensor, sums: _Sums, borders: Tensor) -> Tensor:
    """Move borders between neighbouring centres until nothing changes (Lloyd's iteration)."""
    for _ in range(_REFINEMENTS):
        centres = sums.mean(borders)
        inner = torch.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        moved = torch.cat([borders[:1], inner, borders[-1:]])
        if torch.equal(moved, borders) or bool((moved.diff() < 1).any()):
            break  # settled, or a cluster would become empty
        borders = moved
    return sums.mean(borders)


def _nearest(values: Tensor, table: Tensor) -> Tensor:
    return table[torch.bucketize(values, (table[1:] + table[:-1]) / 2)]
