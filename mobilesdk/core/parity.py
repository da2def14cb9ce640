"""Parity: how far an artifact is from the float model on the same inputs."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import PlainSerializer

from mobilesdk.core.contract import OutputKind
from mobilesdk.core.frozen import Frozen


def _json_number(value: float) -> float | str:
    """JSON has no infinity; pydantic reads the text back."""
    return value if math.isfinite(value) else str(value)


Figure = Annotated[float, PlainSerializer(_json_number, when_used="json")]
"""A number that may be infinite, as the SQNR of equal arrays is; ``"inf"`` in JSON."""


class Estimate(Frozen):
    """A figure, and its 95 % interval where one can be given."""

    value: Figure
    interval: tuple[Figure, Figure] | None = None


class OutputParity(Frozen):
    """Figures of one output over all samples; ``None`` where a figure makes no sense for it.

    Attributes:
        name: Of the output, as in the contract.
        kind: What it means.
        sqnr_db: Signal-to-quantization-noise ratio, decibels.
        max_abs_error: Largest absolute difference of two elements, in the unit of the output.
        cosine: Mean over samples of the cosine between float and artifact.
        cosine_min: Its smallest value.
        kl: Mean KL(float || artifact) of the softmaxes, nats.
        equality: Mean over samples of the share of equal elements, of integers.
        top1_agreement: Share of samples with the same best class.
        top5_agreement: Share of samples whose best class is among the artifact's five best.
        sequence_agreement: Share of samples with the same best class, or id, at every position.
        position_agreement_min: That share at the position where it is smallest.
        neighbour_agreement: Share of samples whose nearest other sample is the same.
        mean_iou: Of boxes, mean intersection over union of the pairs; of masks, its mean over
            classes.
        matched_boxes: Share of the boxes of both that are in a pair.
        score_difference: Mean absolute difference of the scores of a pair of boxes.
        pixel_agreement: Mean over samples of the share of pixels of the same class.
    """

    name: str
    kind: OutputKind
    sqnr_db: Estimate | None = None
    max_abs_error: Estimate | None = None
    cosine: Estimate | None = None
    cosine_min: Estimate | None = None
    kl: Estimate | None = None
    equality: Estimate | None = None
    top1_agreement: Estimate | None = None
    top5_agreement: Estimate | None = None
    sequence_agreement: Estimate | None = None
    position_agreement_min: Estimate | None = None
    neighbour_agreement: Estimate | None = None
    mean_iou: Estimate | None = None
    matched_boxes: Estimate | None = None
    score_difference: Estimate | None = None
    pixel_agreement: Estimate | None = None


class ParityReport(Frozen):
    """Parity of one artifact.

    Attributes:
        sample_count: Number of evaluation samples, each run through float model and artifact.
        outputs: In the order of the contract.
    """

    sample_count: int
    outputs: tuple[OutputParity, ...]
