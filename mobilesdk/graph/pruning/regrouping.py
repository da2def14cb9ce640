"""What becomes of the channels of a value that is given another shape of the same elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import numpy as np

from mobilesdk.graph.pruning.units import STAYS, Axes, Labels, Units, stays


def regroup(
    axes: Axes,
    shape: Sequence[int],
    units: Units,
    is_taken_apart: Callable[[int], bool],
    where: str,
) -> Axes:
    """Give the labels of a value in another shape of the same elements.

    An axis that is split into several goes by the outermost of them that no later op takes apart:
    heads as a whole, where channels are split into heads and their width. What was on other axes
    then goes together.

    Args:
        axes: Labels before.
        shape: Afterwards.
        units: Are united, or stay, where the new shape demands it.
        is_taken_apart: Tells whether a later op picks single indices of a new axis.
        where: The op, for reasons.
    """
    result: list[Labels] = [stays(size) for size in shape]
    for old, new in _groups([len(labels) for labels in axes], shape):
        flat = _flat([axes[axis] for axis in old], units, where)
        if flat is None:
            continue
        wide = [axis for axis in new if shape[axis] > 1]
        axis = _axis(flat, wide, shape, is_taken_apart)
        if axis is None:
            units.keep(flat, f"{where} splits it so that nothing can go as a whole")
            continue
        rows = _rows(flat, wide, axis, shape)
        for column in rows.T[1:]:
            units.unite(rows[:, 0], column, where)
        result[axis] = rows[:, 0]
    return tuple(result)


def _groups(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[range, range]]:
    """Pair the axes of two shapes into the smallest groups that hold the same elements."""
    place, new = 0, 0
    while place < len(before) or new < len(after):
        first, first_new = place, new
        place, new = min(place + 1, len(before)), min(new + 1, len(after))
        while (size := prod(before[first:place])) != (target := prod(after[first_new:new])):
            if size < target:
                place += 1
            else:
                new += 1
        yield range(first, place), range(first_new, new)


def _flat(axes: Sequence[Labels], units: Units, where: str) -> Labels | None:
    """Give the label of each element of merged axes; ``None`` if all of them stay."""
    labelled = [place for place, labels in enumerate(axes) if (labels != STAYS).any()]
    if not labelled:
        return None
    if len(labelled) > 1:
        for place in labelled:
            units.keep(axes[place], f"{where} merges two axes that both have channels")
        return None
    place = labelled[0]
    spread = axes[place].reshape(-1, *[1] * (len(axes) - place - 1))
    return np.broadcast_to(spread, [len(labels) for labels in axes]).reshape(-1)


def _axis(
    flat: Labels, wide: Sequence[int], shape: Sequence[int], is_taken_apart: Callable[[int], bool]
) -> int | None:
    """Choose the axis that channels go along: one that has them already, else the outermost."""
    for axis in wide:
        rows = _rows(flat, wide, axis, shape)
        if (rows == rows[:, :1]).all():
            return axis
    return next((axis for axis in wide if not is_taken_apart(axis)), None)


def _rows(flat: Labels, wide: Sequence[int], axis: int, shape: Sequence[int]) -> Labels:
    """Arrange labels of elements by their index along an axis, ``[index, elements]``."""
    grid = flat.reshape([shape[each] for each in wide])
    return np.moveaxis(grid, list(wide).index(axis), 0).reshape(shape[axis], -1)
