"""Selection of boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room


@op("non_maximum_suppression", kind="move")
def non_maximum_suppression(
    *,
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_boxes: int,
    per_class_suppression: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Keep boxes [n, B, 4] of high scores [n, B, K] that overlap no better box.

    Boxes are (x, y, width, height) with the centre in x and y. A box counts with its best score,
    in the class of that score. A score must exceed its threshold; if none does, the best box is
    kept. Gives the boxes, their scores, their indices, and how many there are; the rest is filled
    with zeros, and -1 for indices.
    """
    check_room((*scores.shape[::2], max_boxes), max_elements)
    kept = _kept(boxes, scores, iou_threshold, score_threshold, max_boxes, per_class_suppression)
    count = torch.tensor([len(indices) for indices in kept], dtype=torch.int32)
    return *_filled(boxes, scores, kept, max_boxes), count


@op("non_maximum_suppression", kind="move", since=17)
def non_maximum_suppression_channels_first(
    *,
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    max_boxes: int,
    per_class_suppression: bool = False,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Keep boxes [n, 4, B] of high scores [n, K, B]; no score is too low."""
    boxes, scores = boxes.mT, scores.mT
    check_room((*scores.shape[::2], max_boxes), max_elements)
    kept = _kept(boxes, scores, iou_threshold, None, max_boxes, per_class_suppression)
    kept_boxes, kept_scores, indices = _filled(boxes, scores, kept, max_boxes)
    return kept_boxes.mT, kept_scores.mT, indices


def _kept(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float | None,
    max_boxes: int,
    per_class: bool,
) -> list[Tensor]:
    """Give the indices of the boxes that are kept of each image, best first."""
    if boxes.dim() != 3 or scores.dim() != 3 or boxes.shape[:2] != scores.shape[:2]:
        raise OpError(f"boxes of {list(boxes.shape)} with scores of {list(scores.shape)}")
    kept = []
    for image_boxes, image_scores in zip(boxes, scores, strict=True):
        best, classes = image_scores.max(1)
        order = torch.argsort(best, descending=True, stable=True)
        if score_threshold is not None:
            order = order[: max(int((best > score_threshold).sum()), 1)]
        chosen: list[Tensor] = []
        while order.numel() and len(chosen) < max_boxes:
            first, order = order[:1], order[1:]
            chosen.append(first)
            overlaps = _overlap(image_boxes[first], image_boxes[order]) > iou_threshold
            if per_class:
                overlaps &= classes[order] == classes[first]
            order = order[~overlaps]
        kept.append(torch.cat(chosen) if chosen else order)
    return kept


def _overlap(box: Tensor, others: Tensor) -> Tensor:
    """Give the intersection over the union of a box and others; 0 where one has no area."""
    low = torch.maximum(box[:, :2] - box[:, 2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = torch.minimum(box[:, :2] + box[:, 2:] / 2, others[:, :2] + others[:, 2:] / 2)
    shared = (high - low).clamp(min=0).prod(1)
    area, other_areas = box[:, 2:].prod(1), others[:, 2:].prod(1)
    real = (area > 0) & (other_areas > 0)
    return torch.where(real, shared / (area + other_areas - shared), 0.0)


def _filled(
    boxes: Tensor, scores: Tensor, kept: list[Tensor], max_boxes: int
) -> tuple[Tensor, Tensor, Tensor]:
    images = len(kept)
    kept_boxes = boxes.new_zeros(images, max_boxes, 4)
    kept_scores = scores.new_zeros(images, max_boxes, scores.shape[2])
    indices = torch.full((images, max_boxes), -1, dtype=torch.int32)
    for image, chosen in enumerate(kept):
        kept_boxes[image, : len(chosen)] = boxes[image, chosen]
        kept_scores[image, : len(chosen)] = scores[image, chosen]
        indices[image, : len(chosen)] = chosen.to(torch.int32)
    return kept_boxes, kept_scores, indices
