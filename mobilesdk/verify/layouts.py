"""Ways to lay out the same values: axes in another order, joined or split."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Layout = tuple[int, ...] | None
"""Order of the axes longer than 1; ``None`` where the flat order is the same."""

_MOST_AXES = 5

Shape = tuple[int, ...]


def layouts(source: Shape, wanted: Shape) -> tuple[Layout, ...]:
    """Give every way to bring an array of one shape into another.

    Args:
        source: Shape of the array.
        wanted: Shape to bring it into, with as many elements.
    """
    axes, goal = _long_axes(source), _long_axes(wanted)
    if len(axes) > _MOST_AXES or sorted(axes) != sorted(goal):
        return (None,)
    same = tuple(range(len(axes)))
    orders = (
        order
        for order in permutations(same)
        if order != same and tuple(axes[axis] for axis in order) == goal
    )
    return (None, *orders)


def arrange(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Give the values of one sample in another layout, flat."""
    if layout is None:
        return values.reshape(-1)
    return values.reshape(_long_axes(values.shape)).transpose(layout).reshape(-1)


def places(source: Shape, layout: Layout, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tell where in the flat source the elements at flat places of the arranged array lie."""
    if layout is None:
        return wanted
    axes = _long_axes(source)
    arranged = np.unravel_index(wanted, tuple(axes[axis] for axis in layout))
    in_source = [arranged[layout.index(axis)] for axis in range(len(axes))]
    return np.asarray(np.ravel_multi_index(in_source, axes), np.int64)


def _long_axes(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
