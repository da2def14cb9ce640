"""The widths of a network: sets of channels that can be made smaller one by one."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

import numpy as np

from mobilesdk.core.structure import KeptChannels
from mobilesdk.graph.pruning.tracing import Trace
from mobilesdk.graph.pruning.units import STAYS

_Place = tuple[tuple[str, int], int]
"""Name and axis of a weight, and how many of its indices a unit has."""


@dataclass(frozen=True)
class Dimension:
    """Channels that the same layers make and take.

    Attributes:
        weights: Names of the weights that make them, in the order of the program.
        units: What can go: a channel, or several that go together, such as a head.
        unit_width: Channels of the first weight that one unit stands for.
        is_sum: Whether they are sums of what several layers give, as the stream of a residual
            network is.
    """

    weights: tuple[str, ...]
    units: tuple[int, ...]
    unit_width: int
    is_sum: bool = False

    @property
    def width(self) -> int:
        """Channels of the first weight."""
        return len(self.units) * self.unit_width


def find_dimensions(trace: Trace) -> tuple[list[Dimension], list[KeptChannels]]:
    """Sort the units of a program into dimensions, and name the layers that keep channels.

    Units are of one dimension if the same axes of the same weights have them, so that no layer can
    lose all that it makes or takes.
    """
    places: dict[int, dict[tuple[str, int], int]] = {}
    kept: dict[str, KeptChannels] = {}
    made = dict.fromkeys((each.constant, each.axis) for each in trace.makes)
    taken = dict.fromkeys((each.constant, each.axis) for each in trace.takes)
    for constant, axis in made | taken:
        labels = trace.constants[constant][axis]
        roots = trace.units.roots(labels)
        for unit in roots[roots != STAYS].tolist():
            found = places.setdefault(unit, {})
            found[constant, axis] = found.get((constant, axis), 0) + 1
        staying = int((roots == STAYS).sum())
        if staying and (constant, axis) in made:
            reason = trace.units.reason(labels) or "it has one channel"
            kept[constant] = KeptChannels(weight=constant, channels=staying, reason=reason)
    by_place: dict[tuple[_Place, ...], list[int]] = {}
    for unit, found in places.items():
        if any(place in made for place in found):
            by_place.setdefault(tuple(found.items()), []).append(unit)
    sums = {unit for labels in trace.sums for unit in trace.units.roots(labels).tolist()} - {STAYS}
    found_dimensions = [
        _dimension(key, units, made, is_sum=not sums.isdisjoint(units))
        for key, units in by_place.items()
    ]
    return found_dimensions, list(kept.values())


def _dimension(
    places: tuple[_Place, ...], units: list[int], made: Container[tuple[str, int]], *, is_sum: bool
) -> Dimension:
    making = [place for place in places if place[0] in made]
    weights = tuple(dict.fromkeys(constant for (constant, _), _ in making))
    return Dimension(weights, tuple(sorted(units)), making[0][1], is_sum)


def removed_indices(trace: Trace, removed: Iterable[int]) -> dict[str, dict[int, list[int]]]:
    """Give the indices that go, by weight and axis.

    Args:
        trace: Of the program.
        removed: Units.
    """
    gone = np.array(sorted(removed), np.int64)
    result: dict[str, dict[int, list[int]]] = {}
    for name, axes in trace.constants.items():
        for axis, labels in enumerate(axes):
            indices = np.flatnonzero(np.isin(trace.units.roots(labels), gone)).tolist()
            if indices:
                result.setdefault(name, {})[axis] = indices
    return result
