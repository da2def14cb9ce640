"""Layouts: what is arranged and where its elements come from agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.verify.layouts import arrange, layouts, places

SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=4).map(tuple)


@given(st.data(), SHAPES)
def test_elements_are_where_places_says(data: st.DataObject, shape: tuple[int, ...]) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    wanted = tuple(shape[axis] for axis in order)
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    for layout in layouts(shape, wanted):
        arranged = arrange(values, layout)
        at = places(shape, layout, np.arange(values.size))
        np.testing.assert_array_equal(arranged, values.reshape(-1)[at])


@given(st.data(), SHAPES)
def test_the_order_that_was_used_is_among_the_layouts(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    values = np.random.default_rng(0).normal(size=shape)
    moved = values.transpose(order)
    found = [arrange(values, layout) for layout in layouts(shape, moved.shape)]
    assert any(np.array_equal(each, moved.reshape(-1)) for each in found)


@pytest.mark.parametrize(
    ("source", "wanted", "count"),
    [
        ((1, 3, 4, 5), (1, 4, 5, 3), 2),  # channels first or last, and the flat order
        ((1, 3, 5, 5), (1, 5, 5, 3), 3),  # height and width may be exchanged too
        ((1, 6, 4), (6, 4), 1),
        ((2, 12), (4, 6), 1),  # split and joined axes keep the flat order
        ((2, 3, 4, 5, 6, 7), (7, 6, 5, 4, 3, 2), 1),  # too many orders to try
    ],
)
def test_only_orders_that_give_the_shape_are_tried(
    source: tuple[int, ...], wanted: tuple[int, ...], count: int
) -> None:
    assert len(layouts(source, wanted)) == count
