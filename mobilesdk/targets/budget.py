"""Budgets: how far an artifact may be from the float model, and how large it may be.

Limits stand in tables by kind of output. ``[budget.any]`` holds for every output; the table of a
kind adds limits for its outputs and replaces those of ``any`` that it repeats. A table takes only
the limits that can have a figure for its kind. Whether an output is held to a limit follows from
its type as well: integers are equal or not, and only their equality says how near they are.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mobilesdk.core.contract import OutputKind
from mobilesdk.core.frozen import Frozen

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class ValueBudget(Frozen):
    """Limits for outputs of any kind.

    Attributes:
        min_sqnr_db: Signal-to-quantization-noise ratio over all samples, decibels.
        max_abs_error: Largest absolute difference of two elements, in the unit of the output.
        min_cosine: Mean over samples of the cosine between float and artifact, -1 … 1.
        min_equality: Share of equal elements of an output of integers, 0 … 1.
    """

    min_sqnr_db: float | None = None
    max_abs_error: Annotated[float, Field(ge=0.0)] | None = None
    min_cosine: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    min_equality: Share | None = None


class ClassBudget(ValueBudget):
    """Limits for outputs that are scores of classes along the last axis.

    Attributes:
        min_top1_agreement: Share of samples with the same best class, 0 … 1.
        min_top5_agreement: Share of samples whose best class is among the artifact's five best.
        max_kl: Mean Kullback-Leibler divergence KL(float || artifact) of the softmaxes, nats.
    """

    min_top1_agreement: Share | None = None
    min_top5_agreement: Share | None = None
    max_kl: Annotated[float, Field(ge=0.0)] | None = None


class TokenBudget(ClassBudget):
    """Limits for sequences: ids, or scores of a vocabulary along the last axis.

    Attributes:
        min_sequence_agreement: Share of samples with the same choice at every position, 0 … 1.
        min_position_agreement: Share of samples with the same choice, at the position where it is
            smallest, 0 … 1.
    """

    min_sequence_agreement: Share | None = None
    min_position_agreement: Share | None = None


class EmbeddingBudget(ValueBudget):
    """Limits for vectors that are compared with each other.

    Attributes:
        min_neighbour_agreement: Share of samples whose nearest other sample is the same, 0 … 1.
    """

    min_neighbour_agreement: Share | None = None


class BoxBudget(ValueBudget):
    """Limits for boxes whose layout the contract states.

    Attributes:
        min_matched_boxes: Share of the boxes of both that are in a pair, 0 … 1.
        min_mean_iou: Mean intersection over union of the pairs, 0 … 1.
        max_score_difference: Mean absolute difference of the scores of a pair.
    """

    min_matched_boxes: Share | None = None
    min_mean_iou: Share | None = None
    max_score_difference: Annotated[float, Field(ge=0.0)] | None = None


class MaskBudget(ValueBudget):
    """Limits for masks: classes of pixels, or scores whose layout the contract states.

    Attributes:
        min_mean_iou: Mean over classes of intersection over union, 0 … 1.
        min_pixel_agreement: Share of pixels of the same class, 0 … 1.
    """

    min_mean_iou: Share | None = None
    min_pixel_agreement: Share | None = None


class AnyBudget(ValueBudget):
    """Limits for the artifact as a whole, and for every output.

    Attributes:
        max_size_ratio: Size of the artifact over the size of all float32 parameters.
        graph_allowance_bytes: What the artifact may have beyond that ratio for the graph itself:
            its ops and names do not shrink with the weights, and outweigh those of a small model.
        max_size_bytes: Size of the artifact.
    """

    max_size_ratio: Annotated[float, Field(gt=0.0)] | None = None
    graph_allowance_bytes: Annotated[int, Field(ge=0)] = 0
    max_size_bytes: Annotated[int, Field(gt=0)] | None = None


class Budget(Frozen):
    """The ``[budget]`` tables of a profile."""

    any: AnyBudget = AnyBudget()
    classification: ClassBudget = ClassBudget()
    embedding: EmbeddingBudget = EmbeddingBudget()
    boxes: BoxBudget = BoxBudget()
    mask: MaskBudget = MaskBudget()
    tokens: TokenBudget = TokenBudget()
    other: ValueBudget = ValueBudget()

    def of_kind(self, kind: OutputKind) -> dict[str, float]:
        """Give the limits that stand in the table of a kind, by name."""
        table: ValueBudget = getattr(self, kind)
        return table.model_dump(exclude_none=True)

    def of_any(self) -> dict[str, float]:
        """Give the limits of ``[budget.any]`` for outputs, without those on size."""
        return self.any.model_dump(exclude_none=True, include=set(ValueBudget.model_fields))
