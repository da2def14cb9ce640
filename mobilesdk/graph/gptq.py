"""Round a weight column by column, and make up for each column's error in those that follow.

What a layer gives depends on its weight through the second moments of its input alone. GPTQ rounds
one input column at a time and moves what the rounding costs into the columns that are still to
come, in the direction that those moments say is cheapest. Frantar et al. 2023, "GPTQ: Accurate
Post-Training Quantization for Generative Pre-trained Transformers". The grids stay those of
rounding to nearest, and the elements that anchor them are not moved, so that an exporter finds the
grid again from the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mobilesdk.core.scheme import WeightRole, WeightScheme
from mobilesdk.graph.palette import round_palette
from mobilesdk.graph.rounding import Grid, linear_grid, round_linear, to_blocks
from mobilesdk.graph.sparsity import kept_elements

DAMPING = 0.01
"""Share of the mean second moment that is added to each, as in the paper."""

_BATCH = 128  # columns whose errors are handed on together


@dataclass(frozen=True)
class Moments:
    """Second moments of what a layer's weight is multiplied with, over samples and positions.

    Attributes:
        own: float64 ``[groups, columns, columns]``: of the input that the compressed network gives.
        cross: The same shape: of the float network's input (rows) with that one (columns).
    """

    own: Tensor
    cross: Tensor


def round_gptq(
    weight: Tensor,
    role: WeightRole,
    scheme: WeightScheme,
    moments: Moments,
    importance: Tensor | None = None,
    *,
    asymmetric: bool = False,
) -> Tensor:
    """Move a weight onto the grid or the tables of a scheme at the least error of its layer.

    Args:
        weight: float32 ``[out, in / groups, …]``, of a convolution or a matrix product.
        role: What the weight is to the op that takes it; not a transposed convolution.
        scheme: Linear or palette.
        moments: Of the layer's input, in the order of the weight's elements.
        importance: How much an error of each element counts for the choice of tables.
        asymmetric: Whether the error is measured from what the float network gives on its own
            input, so that errors of earlier layers are made up for too (Li et al. 2025, "GPTAQ:
            Efficient Finetuning-Free Quantization for Asymmetric Calibration", by least squares
            before rounding).

    Returns:
        float32 of the same shape.
    """
    inverse = _inverse(moments.own)
    groups, columns = inverse.shape[:2]
    kept = kept_elements(weight, role, scheme) if scheme.sparsity else None
    if asymmetric:
        rows = weight.double().reshape(groups, -1, columns)
        moved = rows + rows @ (moments.cross - moments.own) @ inverse
        weight = moved.reshape(weight.shape).float()
        weight = weight if kept is None else weight * kept
    levels = _levels(weight, role, scheme, importance)
    fixed = levels.anchors if kept is None else levels.anchors | ~kept.reshape(levels.anchors.shape)
    factor = torch.linalg.cholesky(inverse, upper=True)
    rounded = _Columns(weight, levels, fixed, factor).round()
    return rounded.reshape(weight.shape).float()


def _inverse(own: Tensor) -> Tensor:
    """Invert moments; inputs that are never used get the damping alone."""
    diagonal = own.diagonal(dim1=1, dim2=2)
    damping = (DAMPING * diagonal.mean(1, keepdim=True)).clamp_min(1e-30)
    damped = own + torch.diag_embed(damping.expand_as(diagonal))
    return torch.cholesky_inverse(torch.linalg.cholesky(damped))


@dataclass(frozen=True)
class _Levels:
    """What the elements of a weight may become.

    Attributes:
        nearest: float32 ``[out, columns]``: each element rounded to nearest.
        anchors: bool of the same shape: elements from which the grid is found again.
        round: Gives the values of one column, float64 ``[out]``, rounded to nearest.
    """

    nearest: Tensor
    anchors: Tensor
    round: Callable[[Tensor, int], Tensor]


def _levels(
    weight: Tensor, role: WeightRole, scheme: WeightScheme, importance: Tensor | None
) -> _Levels:
    channels = weight.shape[0]
    blocks = to_blocks(weight, role, scheme)
    ends = (blocks == blocks.amax(-1, keepdim=True)) | (blocks == blocks.amin(-1, keepdim=True))
    anchors = ends.reshape(channels, -1)
    if scheme.encoding == "palette":
        nearest, tables = round_palette(weight, role, scheme, importance)
        return _Levels(nearest.reshape(channels, -1), anchors, _look_up(tables, channels, scheme))
    nearest, _ = round_linear(weight, role, scheme)
    grid = linear_grid(weight, role, scheme)
    return _Levels(nearest.reshape(channels, -1), anchors, _step(grid, blocks, channels))


def _step(grid: Grid, blocks: Tensor, channels: int) -> Callable[[Tensor, int], Tensor]:
    scale, lowest, highest = (
        part.double().expand_as(blocks).reshape(channels, -1)
        for part in (grid.scale, grid.lowest, grid.highest)
    )

    def rounded(values: Tensor, column: int) -> Tensor:
        steps = (values / scale[:, column]).round()
        return steps.clamp(lowest[:, column], highest[:, column]) * scale[:, column]

    return rounded


def _look_up(
    tables: Sequence[Tensor], channels: int, scheme: WeightScheme
) -> Callable[[Tensor, int], Tensor]:
    padded = torch.stack([_padded(table, 2**scheme.bits) for table in tables]).double()
    entries = padded.repeat_interleave(channels // len(padded), 0)

    def rounded(values: Tensor, _column: int) -> Tensor:
        places = (values[:, None] - entries).abs().argmin(1, keepdim=True)
        return entries.gather(1, places)[:, 0]

    return rounded


def _padded(table: Tensor, entries: int) -> Tensor:
    """Repeat the last entry of a table that is not full; an empty one holds zero."""
    last = table[-1:] if len(table) else torch.zeros(1)
    return torch.cat([table, last.expand(entries - len(table))])


class _Columns:
    """The rounding of one weight, in float64 ``[groups, rows, columns]``."""

    def __init__(self, weight: Tensor, levels: _Levels, fixed: Tensor, factor: Tensor) -> None:
        groups, columns = factor.shape[:2]
        self._open = weight.double().reshape(groups, -1, columns).clone()
        self._levels, self._factor = levels, factor
        self._fixed = fixed
        self._shape = self._open.shape

    def round(self) -> Tensor:
        """Round column after column; give the rounded weight."""
        rounded = torch.empty_like(self._open)
        columns = self._shape[2]
        for start in range(0, columns, _BATCH):
            end = min(start + _BATCH, columns)
            errors = torch.zeros(*self._shape[:2], end - start, dtype=torch.float64)
            for column in range(start, end):
                rounded[:, :, column] = self._rounded(column)
                pivot = self._factor[:, column, column]
                error = (self._open[:, :, column] - rounded[:, :, column]) / pivot[:, None]
                errors[:, :, column - start] = error
                self._open[:, :, column:end] -= (
                    error[:, :, None] * self._factor[:, None, column, column:end]
                )
            self._open[:, :, end:] -= errors @ self._factor[:, start:end, end:]
        return rounded

    def _rounded(self, column: int) -> Tensor:
        values = self._open[:, :, column].reshape(-1)
        free = self._levels.round(values, column)
        nearest = self._levels.nearest[:, column].double()
        return torch.where(self._fixed[:, column], nearest, free).reshape(self._shape[:2])
