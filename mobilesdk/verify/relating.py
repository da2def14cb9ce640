"""Tell which value of an artifact is which value of the float model.

A name that the file keeps is believed unless the values contradict it. Without one the values tell:
by their correlation, which no scale changes, in every layout that has the same elements; among
float values that differ in scale alone, the one of the same scale. Each float value belongs to the
artifact value that is nearest to it, and to copies of that. What is computed from what has to be
the same in both models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.layers import MatchedBy
from mobilesdk.verify.ancestry import Ancestry
from mobilesdk.verify.layouts import Layout, Shape, layouts, places

MIN_CORRELATION = 0.7
"""Of a relation by value: at half of the energy noise, which is an SQNR of about 3 dB."""
MIN_POINTS = 64
"""Of a relation by value: fewer numbers correlate by chance."""
_PROBES = 2048
_NEARER = 4.0
"""So many times less of the energy must differ before values contradict a name."""
_SURE = 0.9
_SURE_IN_ANY_SCALE = 0.98
_LIKELY_GAIN = log(2)
_FLAT = 1e-9
_COPY = 1.5
_COPY_FLOOR = 1e-5
_COPY_GAIN = 0.1
_ROUNDED = 0.999
_GAIN_WEIGHT = 1e-3
"""Of the logarithm of a gain against a correlation: it decides between equal correlations only."""


@dataclass(frozen=True)
class Relation:
    """Which float value an artifact value is.

    Attributes:
        float_place: Of the float value.
        layout: In which the float value has to be brought.
        matched_by: What told it.
        correlation: Of the two.
        gain: Natural logarithm of the artifact's scale over the float value's.
    """

    float_place: int
    layout: Layout
    matched_by: MatchedBy
    correlation: float
    gain: float


@dataclass(frozen=True)
class _Pair:
    correlation: float
    gain: float
    layout: Layout

    @property
    def distance(self) -> float:
        return 1.0 - self.correlation + _GAIN_WEIGHT * abs(self.gain)

    @property
    def is_likely(self) -> bool:
        surely = self.correlation >= _SURE_IN_ANY_SCALE
        return surely or (self.correlation >= MIN_CORRELATION and abs(self.gain) <= _LIKELY_GAIN)

    def as_relation(self, float_place: int, matched_by: MatchedBy) -> Relation:
        return Relation(float_place, self.layout, matched_by, self.correlation, self.gain)


@dataclass(frozen=True)
class Side:
    """Values of one side, by their place in the order of execution.

    Attributes:
        shapes: Place → shape of one sample.
        names: Place → what names the float op that it is, or claims to be.
        origin: What each value, comparable or not, is computed from.
    """

    shapes: Mapping[int, Shape]
    names: Mapping[int, tuple[str, ...]]
    origin: Ancestry


def probes(size: int) -> NDArray[np.int64]:
    """Give the flat places at which values of a size are compared; all of them if they are few."""
    if size <= _PROBES:
        return np.arange(size)
    return np.sort(np.random.default_rng(size).choice(size, _PROBES, replace=False))


class Relater:
    """Relates the values of an artifact with those of the float model.

    Args:
        artifact: Values to relate.
        probed: Place → their elements at `probes`, ``[samples, n]``.
        floats: Values of the float model.
        float_values: Place → all their elements, ``[samples, *shape]``.
    """

    def __init__(
        self,
        artifact: Side,
        probed: Mapping[int, NDArray[Any]],
        floats: Side,
        float_values: Sequence[NDArray[Any]],
    ) -> None:
        self._artifact = artifact
        self._probed = probed
        self._floats = floats
        self._float_values = float_values
        self._pairs: dict[int, dict[int, _Pair]] = defaultdict(dict)

    def relate(self) -> dict[int, Relation]:
        """Give the relation of each value that has one."""
        self._correlate()
        found = self._by_name()
        owners = {relation.float_place: place for place, relation in found.items()}
        candidates = sorted(
            (pair.distance, place, other)
            for place, pairs in self._pairs.items()
            if place not in found and self._is_telling(place)
            for other, pair in pairs.items()
            if pair.is_likely
        )
        for _, place, other in candidates:
            pair = self._pairs[place][other]
            owner = owners.get(other)
            if place in found or not self._fits(place, other, found):
                continue
            if owner is None or self._is_copy(place, pair, owner, found[owner]):
                found[place] = pair.as_relation(other, "value")
                owners.setdefault(other, place)
        return found

    def _is_copy(self, place: int, pair: _Pair, owner: int, owned: Relation) -> bool:
        """Tell whether a value differs from a float value as its owner does, or was made of that.

        What is made of the owner may have been rounded on the way.
        """
        rounded = pair.correlation >= _ROUNDED and self._artifact.origin.takes[place, owner]
        limit = _COPY * _difference(owned.correlation) + _COPY_FLOOR
        same_scale = abs(pair.gain - owned.gain) <= _COPY_GAIN
        return same_scale and (bool(rounded) or _difference(pair.correlation) <= limit)

    def _fits(self, place: int, other: int, found: Mapping[int, Relation]) -> bool:
        """Tell whether what a value is computed from, and what from it, is so in both models."""
        mine, theirs = self._artifact.origin, self._floats.origin
        places = np.fromiter(found, np.int64)
        others = np.array([relation.float_place for relation in found.values()], np.int64)
        before, after = mine.takes[place, places], mine.takes[places, place]
        return bool(
            theirs.takes[other, others[before]].all() and theirs.takes[others[after], other].all()
        )

    def nearest(self, place: int) -> float | None:
        """Give the largest correlation that a value has; ``None`` if nothing has its size."""
        pairs = self._pairs.get(place)
        return max(pair.correlation for pair in pairs.values()) if pairs else None

    def _is_telling(self, place: int) -> bool:
        return self._probed[place].size >= MIN_POINTS

    def _by_name(self) -> dict[int, Relation]:
        numbers = {name: place for place, names in self._floats.names.items() for name in names}
        claims = {
            place: numbers[name]
            for place, names in self._artifact.names.items()
            for name in names
            if numbers.get(name) in self._pairs[place]
        }
        best: dict[int, float] = {}
        for place, other in claims.items():
            claim = self._pairs[place][other].correlation
            best[other] = max(best.get(other, -1.0), claim)
        found = {}
        for place, other in claims.items():
            pair = self._pairs[place][other]
            if not self._contradicts(place, pair, best):
                found[place] = pair.as_relation(other, "name")
        return found

    def _contradicts(self, place: int, named: _Pair, best: Mapping[int, float]) -> bool:
        """Tell whether a value is surely another one than its name says.

        A float value that another name claims, and is nearer to, is no other one.
        """
        others = (
            pair.correlation
            for other, pair in self._pairs[place].items()
            if pair.correlation > best.get(other, -1.0)
        )
        nearest = max(others, default=-1.0)
        surely = nearest >= _SURE and self._is_telling(place)
        return surely and _NEARER * _difference(nearest) < _difference(named.correlation)

    def _correlate(self) -> None:
        by_shape = _grouped(self._floats.shapes)
        for shape, group in _grouped(self._artifact.shapes).items():
            size = prod(shape)
            mine = _Rows([self._probed[place] for place in group])
            for other_shape, others in by_shape.items():
                if size != prod(other_shape):
                    continue
                for layout in layouts(other_shape, shape):
                    wanted = places(other_shape, layout, probes(size))
                    theirs = _Rows([self._float_values_at(place, wanted) for place in others])
                    self._note(group, others, layout, mine, theirs)

    def _float_values_at(self, place: int, wanted: NDArray[np.int64]) -> NDArray[Any]:
        return np.stack([sample.reshape(-1)[wanted] for sample in self._float_values[place]])

    def _note(
        self, group: list[int], others: list[int], layout: Layout, mine: _Rows, theirs: _Rows
    ) -> None:
        correlations = np.minimum(mine.units @ theirs.units.T, 1.0)
        gains = mine.scales[:, np.newaxis] - theirs.scales
        for row, place in enumerate(group):
            pairs = self._pairs[place]
            for column, other in enumerate(others):
                pair = _Pair(float(correlations[row, column]), float(gains[row, column]), layout)
                if other not in pairs or pair.correlation > pairs[other].correlation:
                    pairs[other] = pair


class _Rows:
    """Values, one row for each, with mean 0 and length 1; zeros where all elements are equal.

    Attributes:
        units: ``[values, samples * n]``.
        scales: ``[values]``: natural logarithms of the lengths that they had.
    """

    def __init__(self, values: list[NDArray[Any]]) -> None:
        rows = np.stack([item.reshape(-1).astype(np.float64) for item in values])
        rows = np.nan_to_num(rows, posinf=0.0, neginf=0.0)
        largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
        largest[largest == 0] = 1.0
        rows /= largest  # squares of the largest numbers overflow
        rows -= rows.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        is_flat = lengths < _FLAT
        self.units = np.where(is_flat, 0.0, rows / np.where(is_flat, 1.0, lengths))
        scales = np.where(is_flat, 1.0, lengths * largest)
        self.scales = np.log(scales).reshape(-1)


def _grouped(shapes: Mapping[int, Shape]) -> dict[Shape, list[int]]:
    groups: dict[Shape, list[int]] = defaultdict(list)
    for place, shape in shapes.items():
        groups[shape].append(place)
    return groups


def _difference(correlation: float) -> float:
    return max(1.0 - correlation, 0.0)
