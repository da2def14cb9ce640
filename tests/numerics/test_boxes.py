"""Boxes and masks: overlaps by hand, and what any match and any count has to hold to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mobilesdk.numerics import boxes, masks

COORDINATES = st.integers(-20, 20).map(float)


def some_boxes():
    return st.integers(0, 6).flatmap(
        lambda count: arrays(np.float64, (count, 4), elements=COORDINATES)
    )


def zeros(rows):
    return np.zeros(len(rows), np.int64)


@pytest.mark.parametrize(
    ("given", "numbers"),
    [("xyxy", (1, 2, 4, 8)), ("xywh", (1, 2, 3, 6)), ("cxcywh", (2.5, 5, 3, 6))],
)
def test_one_box_is_the_same_however_it_is_given(given, numbers):
    assert boxes.as_corners(np.array([numbers]), given).tolist() == [[1, 2, 4, 8]]


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        ((0, 0, 2, 2), 1.0),
        ((1, 0, 3, 2), 1 / 3),
        ((2, 0, 4, 2), 0.0),
        ((0, 0, 1, 1), 1 / 4),
        ((5, 5, 5, 5), 0.0),
    ],
)
def test_overlaps_are_those_of_geometry(other, overlap):
    found = boxes.overlaps(np.array([[0.0, 0, 2, 2]]), np.array([other], np.float64))
    assert found == pytest.approx(overlap)


@given(some_boxes(), some_boxes())
def test_overlaps_are_shares_and_the_same_both_ways(ours, theirs):
    ours, theirs = (boxes.as_corners(each, "xyxy") for each in (ours, theirs))
    found = boxes.overlaps(ours, theirs)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found == boxes.overlaps(theirs, ours).T).all()


@given(some_boxes(), some_boxes(), st.sampled_from([0.1, 0.5, 1.0]))
def test_each_box_is_in_one_pair_at_most_and_pairs_overlap_enough(ours, theirs, least):
    ours, theirs = (boxes.as_corners(each, "xyxy") for each in (ours, theirs))
    pairs, amounts = boxes.match(ours, theirs, zeros(ours), zeros(theirs), least)
    for side in (0, 1):
        assert len(set(pairs[:, side])) == len(pairs)
    overlaps = boxes.overlaps(ours, theirs)
    assert (amounts >= least).all()
    assert amounts.tolist() == [overlaps[one, other] for one, other in pairs]
    if len(ours):
        assert len(boxes.match(ours, ours, zeros(ours), zeros(ours), least)[0]) == len(ours)


def test_boxes_of_two_classes_are_no_pair_and_blocks_change_nothing(monkeypatch):
    ours = np.array([[0.0, 0, 4, 4], [10, 10, 14, 14], [0, 0, 4, 4.2]])
    theirs = np.array([[0.0, 0, 4, 4.1], [10, 10, 14, 14]])
    pairs, _ = boxes.match(ours, theirs, np.array([0, 1, 0]), np.array([0, 0]), 0.5)
    assert pairs.tolist() == [[2, 0]]  # 4.1 is nearer to 4.2 than to 4
    monkeypatch.setattr(boxes, "_BLOCK_ELEMENTS", 1)
    again, _ = boxes.match(ours, theirs, np.array([0, 1, 0]), np.array([0, 0]), 0.5)
    assert again.tolist() == pairs.tolist()


def test_classes_of_pixels_follow_the_layout():
    scores = np.random.default_rng(0).normal(size=(2, 1, 3, 4, 5)).astype(np.float32)
    best = scores.argmax(axis=2).reshape(2, -1)
    assert (masks.classes_of(scores, "first", 0.0) == best).all()
    assert (masks.classes_of(np.moveaxis(scores, 2, -1), "last", 0.0) == best).all()
    one = masks.classes_of(scores[:, :, 0], None, 0.5)
    assert (one == (scores[:, :, 0] > 0.5).reshape(2, -1)).all()
    assert (masks.classes_of(best[:, np.newaxis], None, 0.5) == best).all()


def test_mean_iou_is_over_the_classes_that_occur():
    true, seen = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    counts = masks.overlap_counts(true, seen, np.array([0, 1, 2]))
    assert counts.tolist() == [[1, 2, 0, 2, 3, 0]]
    assert masks.mean_iou(counts) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert masks.pixel_agreement(true, seen).tolist() == [0.75]
