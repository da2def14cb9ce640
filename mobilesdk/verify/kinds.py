"""Figures that only one kind of output has: embeddings, sequences, boxes, masks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import BoxLayout, MaskLayout, OutputSpec
from mobilesdk.core.parity import Estimate
from mobilesdk.numerics import boxes, masks, metrics
from mobilesdk.verify.estimates import Floats, agreement, per_sample, pooled, ratio

Arrays = Mapping[str, NDArray[Any]]
_COORDINATES = 4
_FEWEST_NEIGHBOURS = 3  # of two samples, each is always the other's neighbour


def kind_figures(spec: OutputSpec, reference: Arrays, artifact: Arrays) -> dict[str, Estimate]:
    """Give the figures of an output that follow from its kind; none where they make no sense.

    Args:
        spec: Of the output.
        reference: Output name → ``[N, *shape]`` from the float model, all finite.
        artifact: The same from the artifact, in the same shapes.
    """
    true, seen = reference[spec.name], artifact[spec.name]
    floats = np.issubdtype(true.dtype, np.floating)
    if spec.kind == "embedding" and floats and len(true) >= _FEWEST_NEIGHBOURS:
        return {"neighbour_agreement": agreement(metrics.neighbour_agreement(true, seen))}
    if spec.kind == "tokens":
        return _sequence_figures(true, seen, floats=floats)
    if spec.kind == "mask" and (spec.layout is not None or not floats):
        layout = spec.layout if isinstance(spec.layout, MaskLayout) else MaskLayout()
        return _mask_figures(layout, true, seen)
    if isinstance(spec.layout, BoxLayout):
        return _box_figures(spec, spec.layout, reference, artifact)
    return {}


def _sequence_figures(
    true: NDArray[Any], seen: NDArray[Any], *, floats: bool
) -> dict[str, Estimate]:
    if floats and (true.ndim < 3 or true.shape[-1] < 2):
        return {}
    hits = per_sample(metrics.row_agreement if floats else _equal, true, seen)
    if hits.shape[1] < 2:
        return {}
    return {
        "sequence_agreement": agreement(hits.min(axis=1)),
        "position_agreement_min": Estimate(value=float(hits.mean(axis=0).min())),
    }


def _equal(true: NDArray[Any], seen: NDArray[Any]) -> Floats:
    same: Floats = (true == seen).reshape(len(true), -1).astype(np.float64)
    return same


def _mask_figures(
    layout: MaskLayout, true: NDArray[Any], seen: NDArray[Any]
) -> dict[str, Estimate]:
    classify = partial(masks.classes_of, class_axis=layout.class_axis, threshold=layout.threshold)
    found = {
        "pixel_agreement": agreement(
            per_sample(lambda a, b: masks.pixel_agreement(classify(a), classify(b)), true, seen)
        )
    }
    present = _classes_in(layout, true, seen)
    if 0 < len(present) <= masks.MOST_CLASSES:
        counts = per_sample(
            lambda a, b: masks.overlap_counts(classify(a), classify(b), present), true, seen
        )
        covered = counts[counts[:, len(present) :].any(axis=1)]
        overlap = pooled(covered, masks.mean_iou)
        found |= {} if overlap is None else {"mean_iou": overlap}
    return found


def _classes_in(layout: MaskLayout, true: NDArray[Any], seen: NDArray[Any]) -> NDArray[np.int64]:
    """Give the classes to look for: of one object against the rest, only the object."""
    if np.issubdtype(true.dtype, np.floating):
        if layout.class_axis is None:
            return np.array([1])
        return np.arange(true.shape[2 if layout.class_axis == "first" else -1])
    return np.union1d(true, seen).astype(np.int64)


def _box_figures(
    spec: OutputSpec, layout: BoxLayout, reference: Arrays, artifact: Arrays
) -> dict[str, Estimate]:
    rows = []
    for place in range(len(reference[spec.name])):
        both = [_boxes_of(spec, layout, arrays, place) for arrays in (reference, artifact)]
        (ours, our_scores, our_classes), (theirs, their_scores, their_classes) = both
        pairs, amounts = boxes.match(ours, theirs, our_classes, their_classes, layout.min_iou)
        differences = np.abs(our_scores[pairs[:, 0]] - their_scores[pairs[:, 1]])
        count = len(ours) + len(theirs)
        rows.append((count, len(pairs), amounts.sum(), differences.sum()))
    counts, paired, overlap, difference = np.array(rows, np.float64).T
    found = {
        "matched_boxes": ratio(2 * paired, counts),
        "mean_iou": ratio(overlap, paired),
        "score_difference": ratio(difference, paired),
    }
    if counts.any() and not paired.any():
        found["mean_iou"] = Estimate(value=0.0)
    if not _has_scores(spec, layout):
        del found["score_difference"]
    return {name: figure for name, figure in found.items() if figure is not None}


def _has_scores(spec: OutputSpec, layout: BoxLayout) -> bool:
    return layout.scores is not None or spec.shape[-1] > _COORDINATES


def _boxes_of(
    spec: OutputSpec, layout: BoxLayout, arrays: Arrays, place: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Give the boxes of a sample that count: corners, best score and its class of each."""
    rows = arrays[spec.name][place, 0].astype(np.float64)
    corners = boxes.as_corners(rows[:, :_COORDINATES], layout.corners)
    if not _has_scores(spec, layout):
        return corners, np.ones(len(rows)), np.zeros(len(rows), np.int64)
    given = rows[:, _COORDINATES:] if layout.scores is None else arrays[layout.scores][place, 0]
    scores = given.astype(np.float64).reshape(len(rows), -1)
    best = scores.max(axis=1)
    kept = best >= layout.min_score
    return corners[kept], best[kept], scores.argmax(axis=1)[kept]
