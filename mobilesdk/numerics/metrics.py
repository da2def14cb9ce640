"""Distance between what the float model gives and what an artifact gives, on the same inputs.

In every function axis 0 counts samples, ``reference`` comes from the float model and ``artifact``
from the file under test. Both have the same shape and only finite numbers; anything else raises
``ValueError``. Sums are accumulated in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NEIGHBOUR_ROWS = 256  # bounds the memory of one block of cosines


def sqnr_db(reference: NDArray[Any], artifact: NDArray[Any]) -> float:
    """Signal-to-quantization-noise ratio over all samples.

    ``10 log10(sum(reference^2) / sum((reference - artifact)^2))``.

    Args:
        reference: ``[N, ...]``.
        artifact: ``[N, ...]``.

    Returns:
        Decibels. ``inf`` for equal arrays, also if both are all zero; ``-inf`` for a reference that
        is all zero and an artifact that is not.
    """
    signal, noise = energies(reference, artifact).sum(axis=0)
    return float(decibels(signal, noise))


def energies(reference: NDArray[Any], artifact: NDArray[Any]) -> Floats:
    """Energy of the signal and of the noise in each sample: what `sqnr_db` sums up.

    Args:
        reference: ``[N, ...]``.
        artifact: ``[N, ...]``.

    Returns:
        ``[N, 2]``: ``sum(reference^2)`` and ``sum((reference - artifact)^2)`` of a sample.
    """
    true, seen = _pair(reference, artifact)
    return np.stack([np.square(true).sum(axis=1), np.square(true - seen).sum(axis=1)], axis=1)


def decibels(signal: Any, noise: Any) -> Floats:
    """Give ``10 log10(signal / noise)`` element by element; no noise is ``inf``, even of nothing.

    Args:
        signal: Energies, any shape, not negative.
        noise: Energies, the same shape.
    """
    signal, noise = np.asarray(signal, np.float64), np.asarray(noise, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A difference of logarithms: the ratio itself can overflow.
        ratio_db = 10.0 * (np.log10(signal) - np.log10(noise))
    return np.where(noise == 0.0, math.inf, ratio_db)


def max_abs_error(reference: NDArray[Any], artifact: NDArray[Any]) -> float:
    """Largest absolute difference of two elements, in the unit of the output; 0 for equal arrays.

    Args:
        reference: ``[N, ...]``.
        artifact: ``[N, ...]``.
    """
    true, seen = _pair(reference, artifact)
    return float(np.abs(true - seen).max())


def cosine(reference: NDArray[Any], artifact: NDArray[Any]) -> Floats:
    """Cosine of the angle between the two vectors that each sample gives when flattened.

    Args:
        reference: ``[N, ...]``.
        artifact: ``[N, ...]``.

    Returns:
        ``[N]``, each in -1 … 1. Two zero vectors count as 1, one zero vector as 0.
    """
    true, seen = (_unit(rows) for rows in _pair(reference, artifact))
    both_zero = ~true.any(axis=1) & ~seen.any(axis=1)
    products = np.clip((true * seen).sum(axis=1), -1.0, 1.0)
    return np.where(both_zero, 1.0, products)


def kl_divergence(reference: NDArray[Any], artifact: NDArray[Any]) -> Floats:
    """Kullback-Leibler divergence ``KL(float || artifact)`` between the two softmaxes.

    Args:
        reference: ``[N, ..., classes]``, logits.
        artifact: ``[N, ..., classes]``, logits.

    Returns:
        ``[N]`` in nats, at least 0; the mean over the rows where a sample has several.
    """
    true, seen = (_log_softmax(rows) for rows in _class_rows(reference, artifact))
    divergence = (np.exp(true) * (true - seen)).sum(axis=-1)
    mean: Floats = np.maximum(divergence, 0.0).mean(axis=1)
    return mean


def top_k_agreement(reference: NDArray[Any], artifact: NDArray[Any], k: int) -> Floats:
    """Whether the float model's best class is among the artifact's ``k`` best.

    Among equal scores the class with the lower index is better, as for argmax.

    Args:
        reference: ``[N, ..., classes]``, scores.
        artifact: ``[N, ..., classes]``, scores.
        k: 1 … classes.

    Returns:
        ``[N]``: 1 or 0; the share of rows that agree where a sample has several.
    """
    true, seen = _class_rows(reference, artifact)
    classes = true.shape[-1]
    if not 1 <= k <= classes:
        raise ValueError(f"k is {k}, but there are {classes} classes")
    best = true.argmax(axis=-1)[..., np.newaxis]
    score = np.take_along_axis(seen, best, axis=-1)
    earlier = np.arange(classes) < best
    rank = ((seen > score) | ((seen == score) & earlier)).sum(axis=-1)
    agreement: Floats = (rank < k).mean(axis=1, dtype=np.float64)
    return agreement


def row_agreement(reference: NDArray[Any], artifact: NDArray[Any]) -> Floats:
    """Whether the best classes of each row are the same; among equals the lower index is better.

    Args:
        reference: ``[N, ..., classes]``, scores.
        artifact: ``[N, ..., classes]``, scores.

    Returns:
        ``[N, rows]``: 1 or 0.
    """
    true, seen = _class_rows(reference, artifact)
    same: Floats = (true.argmax(axis=-1) == seen.argmax(axis=-1)).astype(np.float64)
    return same


def neighbour_agreement(reference: NDArray[Any], artifact: NDArray[Any]) -> Floats:
    """Whether the nearest other sample, by cosine, is the same in both spaces.

    Among equally near samples the one with the lower index counts.

    Args:
        reference: ``[N, ...]``, at least two samples.
        artifact: ``[N, ...]``.

    Returns:
        ``[N]``: 1 or 0.
    """
    nearest = [_nearest(_unit(rows)) for rows in _pair(reference, artifact)]
    same: Floats = (nearest[0] == nearest[1]).astype(np.float64)
    return same


def equality(reference: NDArray[Any], artifact: NDArray[Any]) -> Floats:
    """Share of elements that are equal: the agreement of outputs that are ids, not scores.

    Args:
        reference: ``[N, ...]``.
        artifact: ``[N, ...]``.

    Returns:
        ``[N]``, each in 0 … 1.
    """
    _pair(reference, artifact)
    same = reference == artifact  # not as float64, which has no place for every 64-bit integer
    share: Floats = same.reshape(len(same), -1).mean(axis=1, dtype=np.float64)
    return share


def _pair(reference: NDArray[Any], artifact: NDArray[Any]) -> tuple[Floats, Floats]:
    """Check both arrays; give them as float64 ``[N, elements]``."""
    if reference.shape != artifact.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {artifact.shape}")
    if reference.ndim < 1 or reference.size == 0:
        raise ValueError(f"no samples in shape {reference.shape}")
    true, seen = (
        array.astype(np.float64).reshape(array.shape[0], -1) for array in (reference, artifact)
    )
    for name, array in (("reference", true), ("artifact", seen)):
        if not np.isfinite(array).all():
            raise ValueError(f"the {name} holds numbers that are not finite")
    return true, seen


def _class_rows(reference: NDArray[Any], artifact: NDArray[Any]) -> tuple[Floats, Floats]:
    """Check both arrays; give them as float64 ``[N, rows, classes]``."""
    if reference.ndim < 2:
        raise ValueError(f"scores need an axis of classes, not shape {reference.shape}")
    true, seen = _pair(reference, artifact)
    shape = (reference.shape[0], -1, reference.shape[-1])
    return true.reshape(shape), seen.reshape(shape)


def _unit(rows: Floats) -> Floats:
    """Scale each row to length 1, by way of its largest element so that no square overflows."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest == 0.0, 1.0, largest)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Floats = scaled / np.where(length == 0.0, 1.0, length)
    return unit


def _nearest(unit: Floats) -> NDArray[np.int64]:
    """Give the place of the nearest other row of each."""
    if len(unit) < 2:
        raise ValueError("one sample has no neighbours")
    found = []
    for start in range(0, len(unit), _NEIGHBOUR_ROWS):
        near = unit[start : start + _NEIGHBOUR_ROWS] @ unit.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -math.inf
        found.append(near.argmax(axis=1))
    return np.concatenate(found)


def _log_softmax(rows: Floats) -> Floats:
    shifted = rows - rows.max(axis=-1, keepdims=True)
    log_shares: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_shares
