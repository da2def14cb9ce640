"""How far two segmentations of the same images are from each other."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int64]
Floats = NDArray[np.float64]
MOST_CLASSES = 1024


def classes_of(
    scores: NDArray[Any], class_axis: Literal["first", "last"] | None, threshold: float
) -> Classes:
    """Give the class of each pixel.

    Args:
        scores: ``[N, batch, …]``: floats are scores, integers are classes already.
        class_axis: Where the classes of scores are, after the batch; the best one wins, among
            equals the first. ``None``: there is one class, 1, of all that is above the threshold.
        threshold: In the unit of the scores.

    Returns:
        ``[N, pixels]``.
    """
    if not np.issubdtype(scores.dtype, np.floating):
        found = scores.astype(np.int64)
    elif class_axis is None:
        found = (scores > threshold).astype(np.int64)
    else:
        found = scores.argmax(axis=2 if class_axis == "first" else -1)
    return found.reshape(len(scores), -1)


def pixel_agreement(reference: Classes, artifact: Classes) -> Floats:
    """Share of pixels that are of the same class.

    Args:
        reference: ``[N, pixels]``.
        artifact: ``[N, pixels]``.

    Returns:
        ``[N]``, 0 … 1.
    """
    agreement: Floats = (reference == artifact).mean(axis=1, dtype=np.float64)
    return agreement


def overlap_counts(reference: Classes, artifact: Classes, classes: Classes) -> Floats:
    """Count, for each class, the pixels that are of it in both and those that are in either.

    Args:
        reference: ``[N, pixels]``.
        artifact: ``[N, pixels]``.
        classes: ``[C]``.

    Returns:
        ``[N, 2 C]``: pixels in both for each class, then pixels in either.
    """
    both, either = [], []
    for each in classes:
        ours, theirs = reference == each, artifact == each
        both.append((ours & theirs).sum(axis=1))
        either.append((ours | theirs).sum(axis=1))
    return np.stack([*both, *either], axis=1).astype(np.float64)


def mean_iou(counts: Floats) -> Floats:
    """Mean over classes of intersection over union: what `overlap_counts` leads to.

    Args:
        counts: ``[B, 2 C]``: pixels in both, then in either, in any unit; of each row at least one
            class has pixels.

    Returns:
        ``[B]``, 0 … 1; a class without pixels is not in the mean.
    """
    both, either = np.split(counts, 2, axis=1)
    ratio = both / np.where(either > 0.0, either, 1.0)
    count = (either > 0.0).sum(axis=1)
    mean: Floats = ratio.sum(axis=1) / np.maximum(count, 1)
    return mean
