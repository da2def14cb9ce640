"""How far the outputs of two runs are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mobilesdk.numerics.metrics import sqnr_db


class Distance(TypedDict):
    """The worst output.

    Attributes:
        db: SQNR over all samples, of the worst output of floats; 999 where all are equal.
        equal: Share of equal elements in the worst output of integers; 1 where there is none.
        fault: Why there is no figure; empty if there is one.
    """

    db: float
    equal: float
    fault: str


EXACT_DB = 999.0


def distance(
    reference: Sequence[Sequence[NDArray[Any]]], found: Sequence[Sequence[NDArray[Any]]]
) -> Distance:
    """Compare ``[sample][output]`` with what is taken for the truth."""
    db, equal = EXACT_DB, 1.0
    outputs = zip(zip(*reference, strict=True), zip(*found, strict=True), strict=True)
    for place, (true, seen) in enumerate(outputs):
        for one, other in zip(true, seen, strict=True):
            if one.shape != other.shape:
                return fault(f"output {place} has the shape {other.shape}, not {one.shape}")
        one, other = _flat(true), _flat(seen)
        if one.dtype.kind != "f":
            equal = min(equal, float(np.mean(one == other)))
        elif not np.isfinite(other).all():
            return fault(f"output {place} is not finite")
        else:
            db = min(db, sqnr_db(one, other))
    return Distance(db=round(db, 2), equal=round(equal, 4), fault="")


def fault(reason: str) -> Distance:
    """Give the distance of a run that has none."""
    return Distance(db=-EXACT_DB, equal=0.0, fault=reason)


def _flat(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Give all samples of an output as ``[1, elements]``."""
    return np.concatenate([each.ravel() for each in arrays])[None]
