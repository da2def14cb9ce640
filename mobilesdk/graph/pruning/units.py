"""Channels that can only go together, and those that have to stay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
"""One unit for each index along an axis."""
Axes = tuple[Labels, ...]
"""Labels of every axis of a value."""

STAYS = 0
"""The unit of every index that no layer makes: positions, batches, taps of a filter."""


class Units:
    """Sets of units, united as dependencies are found.

    A set of units goes as a whole, or stays as a whole for a reason. Sets that stay are not united
    any further.
    """

    def __init__(self) -> None:
        self._parents = [STAYS]
        self._reasons: dict[int, str] = {STAYS: ""}

    def fresh(self, count: int) -> Labels:
        """Give new units, one for each index of an axis; an axis of one index stays."""
        if count == 1:
            return stays(1)
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def unite(self, first: Labels, second: Labels, where: str) -> None:
        """Let units at the same index go together.

        Args:
            first: Labels of an axis.
            second: Labels of an axis of the same length.
            where: The op that joins them, for the reason if one side stays.
        """
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            roots = sorted({self._find(one), self._find(other)})
            staying = [root for root in roots if root in self._reasons]
            if staying:
                reason = self._reasons[staying[-1]] or f"{where} joins it with what stays"
                for root in roots:
                    self._reasons.setdefault(root, reason)
            elif len(roots) > 1:
                self._parents[roots[1]] = roots[0]

    def keep(self, labels: Labels, reason: str) -> None:
        """Let the units of an axis stay."""
        for unit in labels.tolist():
            self._reasons.setdefault(self._find(unit), reason)

    def roots(self, labels: Labels) -> Labels:
        """Give one unit for each set; `STAYS` for all that stay."""
        found = [self._find(unit) for unit in labels.tolist()]
        return np.array([STAYS if root in self._reasons else root for root in found], np.int64)

    def reason(self, labels: Labels) -> str:
        """Say why the first unit of an axis that stays does so; empty if none does."""
        found = (self._reasons.get(self._find(unit)) for unit in labels.tolist())
        return next((reason for reason in found if reason), "")

    def _find(self, unit: int) -> int:
        root = unit
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[unit] != root:
            self._parents[unit], unit = root, self._parents[unit]
        return root


def stays(count: int) -> Labels:
    """Give the labels of an axis that stays."""
    return np.full(count, STAYS, np.int64)
