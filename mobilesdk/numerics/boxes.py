"""How far the boxes of two detectors are from each other on the same image."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Corners = Literal["xyxy", "xywh", "cxcywh"]
Floats = NDArray[np.float64]
_BLOCK_ELEMENTS = 1 << 20  # bounds the memory of one block of overlaps


def as_corners(boxes: NDArray[Any], given: Corners) -> Floats:
    """Give boxes by two opposite corners.

    Args:
        boxes: ``[N, 4]``.
        given: What the four numbers are.

    Returns:
        ``[N, 4]``: the smaller corner, then the larger one.
    """
    first, second = np.split(boxes.astype(np.float64), 2, axis=1)
    if given == "xywh":
        second = first + second
    elif given == "cxcywh":
        first, second = first - second / 2, first + second / 2
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every pair of boxes.

    Args:
        boxes: ``[N, 4]`` by corners.
        others: ``[M, 4]`` by corners.

    Returns:
        ``[N, M]``, 0 … 1; two boxes without area overlap by 0, unless they are equal: then by 1.
    """
    low = np.maximum(boxes[:, np.newaxis, :2], others[np.newaxis, :, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], others[np.newaxis, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=2)
    union = _area(boxes)[:, np.newaxis] + _area(others)[np.newaxis] - shared
    equal = (boxes[:, np.newaxis] == others[np.newaxis]).all(axis=2)
    return np.where(equal, 1.0, shared / np.where(union > 0.0, union, 1.0))


def match(
    boxes: Floats,
    others: Floats,
    classes: NDArray[np.int64],
    other_classes: NDArray[np.int64],
    min_iou: float,
) -> tuple[NDArray[np.int64], Floats]:
    """Pair boxes of one class, those that overlap most first; each is in one pair at most.

    Args:
        boxes: ``[N, 4]`` by corners.
        others: ``[M, 4]`` by corners.
        classes: ``[N]``.
        other_classes: ``[M]``.
        min_iou: Least overlap of a pair, above 0.

    Returns:
        ``[P, 2]``: places in ``boxes`` and ``others``; and ``[P]``: how much they overlap.
    """
    candidates, amounts = _candidates(boxes, others, classes, other_classes, min_iou)
    taken: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for place in np.argsort(-amounts, kind="stable"):
        one, other = map(int, candidates[place])
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            kept.append(place)
    return candidates[kept], amounts[kept]


def _candidates(
    boxes: Floats,
    others: Floats,
    classes: NDArray[np.int64],
    other_classes: NDArray[np.int64],
    min_iou: float,
) -> tuple[NDArray[np.int64], Floats]:
    pairs = [np.empty((0, 2), np.int64)]
    amounts = [np.empty(0)]
    step = max(1, _BLOCK_ELEMENTS // max(1, len(others)))
    for start in range(0, len(boxes), step):
        block = overlaps(boxes[start : start + step], others)
        same = classes[start : start + step, np.newaxis] == other_classes[np.newaxis]
        found = np.argwhere(same & (block >= min_iou))
        amounts.append(block[found[:, 0], found[:, 1]])
        pairs.append(found + np.array([start, 0]))
    return np.concatenate(pairs), np.concatenate(amounts)


def _area(boxes: Floats) -> Floats:
    area: Floats = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return area
