"""Operations that move, select and list, against numpy and numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mobilesdk.coreml.ops.lists import TensorList
from mobilesdk.coreml.ops.registry import OpError
from tests.coreml.calling import call, tensor, whole


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# Detection


def nms(boxes: Any, scores: Any, **given: Any) -> Any:
    given = {"iou_threshold": 0.4, "score_threshold": 0.1, "max_boxes": 3} | given
    return call(
        "non_maximum_suppression",
        ios=16,
        boxes=tensor(boxes),
        scores=tensor(scores),
        **given,
    )


NEAR = [[0, 0, 2, 2], [0, 0.5, 2, 2], [9, 9, 2, 2]]


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    boxes, scores, indices, count = nms(NEAR, [[0.5], [0.9], [0.3]])
    assert indices.tolist() == [[1, 2, -1]]
    assert count.tolist() == [2]
    assert boxes[0].tolist() == [NEAR[1], NEAR[2], [0, 0, 0, 0]]
    assert_close(scores[0, :, 0], tensor(0.9, 0.3, 0.0))


def test_suppression_by_class_and_by_threshold() -> None:
    two_classes = [[0.5, 0.0], [0.0, 0.9], [0.3, 0.0]]
    assert nms(NEAR, two_classes)[2].tolist() == [[1, 2, -1]]
    assert nms(NEAR, two_classes, per_class_suppression=True)[2].tolist() == [[1, 0, 2]]
    assert nms(NEAR, two_classes, score_threshold=0.4)[3].tolist() == [1]
    assert nms(NEAR, two_classes, score_threshold=2.0)[2].tolist() == [[1, -1, -1]]
    assert nms([[0, 0, 0, 0]] * 2, [[0.5], [0.6]])[3].tolist() == [2]  # no area, no overlap


def test_suppression_since_ios17_has_boxes_last() -> None:
    boxes, scores, indices = call(
        "non_maximum_suppression",
        boxes=tensor(NEAR).mT,
        scores=tensor([[-5], [-4], [-6]]).mT,
        iou_threshold=0.4,
        max_boxes=2,
    )
    assert indices.tolist() == [[1, 2]]
    assert boxes.mT[0].tolist() == [NEAR[1], NEAR[2]]
    assert scores.tolist() == [[[-4, -6]]]


# Indices


@pytest.mark.parametrize("ios", [15, 17])
def test_gather_takes_one_element_of_a_vector(ios: int) -> None:
    assert_close(call("gather", ios=ios, x=tensor(1, 2, 3), indices=whole(1)[0]), tensor(2)[0])


def test_a_scalar_is_tiled_along_no_axis() -> None:
    assert_close(call("tile", x=tensor(2)[0], reps=()), tensor(2)[0])


def test_gather_takes_batches_together() -> None:
    x = torch.randn(2, 3, 4, 5)
    index = whole([[0, 1], [4, 2], [3, 3]], [[1, 0], [2, 2], [4, 1]])
    found = call("gather", x=x, indices=index, axis=3, batch_dims=2)
    assert found.shape == (2, 3, 4, 2)
    for n in range(2):
        for row in range(3):
            assert_close(found[n, row], x[n, row][:, index[n, row].long()])


@pytest.mark.parametrize("op", ["gather", "gather_along_axis"])
def test_negative_indices_are_outside_since_ios17(op: str) -> None:
    x = tensor(1, 2, 3)
    assert call(op, ios=16, x=x, indices=whole(-1, 0)).tolist() == [3, 1]
    for index in (whole(-1), whole(3)):
        with pytest.raises(OpError, match="outside an axis of 3"):
            call(op, ios=17, x=x, indices=index)


def test_gather_nd_with_batches() -> None:
    x = torch.randn(2, 3, 4)
    found = call("gather_nd", x=x, indices=whole([[2], [0]], [[1], [1]]), batch_dims=1)
    assert_close(found, torch.stack([x[0, [2, 0]], x[1, [1, 1]]]))


UPDATES = {
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": max,
    "min": min,
    "update": lambda old, new: new,
}


@pytest.mark.parametrize("mode", sorted(UPDATES))
def test_scatter_applies_all_updates_of_an_element_in_order(mode: str) -> None:
    data, index = torch.rand(4, 3) + 1, [2, 0, 2, 2]
    updates = torch.rand(4, 3) + 1
    expected = data.clone()
    for place, update in zip(index, updates, strict=True):
        for column in range(3):
            old, new = float(expected[place, column]), float(update[column])
            expected[place, column] = UPDATES[mode](old, new)
    before = data.clone()
    whole_rows = {"data": data, "updates": updates, "mode": mode}
    assert_close(call("scatter", indices=whole(*index), **whole_rows), expected)
    assert_close(call("scatter_nd", indices=whole(*index).unsqueeze(1), **whole_rows), expected)
    along = whole(*index).unsqueeze(1).expand(4, 3)
    assert_close(call("scatter_along_axis", indices=along, **whole_rows), expected)
    assert_close(data, before)


def test_scatter_refuses_modes_and_shapes_it_does_not_know() -> None:
    given = {"data": torch.zeros(3), "indices": whole(0, 1)}
    with pytest.raises(OpError, match="'append' is not known"):
        call(
            "scatter_nd", indices=whole([0]), data=torch.zeros(3), updates=tensor(1), mode="append"
        )
    with pytest.raises(OpError, match=r"updates of \[3\] for \[2\]"):
        call("scatter_along_axis", updates=torch.zeros(3), **given)


def test_slice_update_is_numpy_assignment() -> None:
    x, update = torch.randn(4, 5), torch.randn(2)
    expected = x.numpy().copy()
    expected[-1, 4:0:-2] = update.numpy()
    found = call(
        "slice_update",
        x=x,
        update=update,
        begin=(-1, 4),
        end=(0, 0),
        stride=(1, -2),
        squeeze_mask=(True, False),
    )
    np.testing.assert_array_equal(found.numpy(), expected)


# Rearrangement


def test_rearrangements_undo_each_other() -> None:
    x = torch.randn(2, 8, 4, 6)
    assert_close(
        call("space_to_depth", x=call("depth_to_space", x=x, block_size=2), block_size=2), x
    )
    shuffled = call("pixel_shuffle", x=x, upscale_factor=2)
    assert_close(call("pixel_unshuffle", x=shuffled, downscale_factor=2), x)
    edges = (1, 1, 2, 4)
    spread = call("space_to_batch", x=x, block_shape=(3, 2), paddings=edges)
    assert spread.shape == (12, 8, 2, 6)
    assert_close(call("batch_to_space", x=spread, block_shape=(3, 2), crops=edges), x)


def test_depth_to_space_and_pixel_shuffle_order_channels_differently() -> None:
    x = torch.arange(8.0).reshape(1, 8, 1, 1)
    assert call("depth_to_space", x=x, block_size=2)[0, 0].tolist() == [[0, 2], [4, 6]]
    assert call("pixel_shuffle", x=x, upscale_factor=2)[0, 0].tolist() == [[0, 1], [2, 3]]


def test_sequences() -> None:
    x = torch.arange(5.0)
    windows = call("sliding_windows", x=x, axis=-1, size=2, stride=3)
    assert windows.tolist() == [[0, 1], [3, 4]]
    two = x.repeat(2, 1)
    found = call("reverse_sequence", x=two, lengths=(3, 0), seq_axis=1, batch_axis=0)
    assert found.tolist() == [[2, 1, 0, 3, 4], [0, 1, 2, 3, 4]]
    assert call("range_1d", start=whole(7)[0], end=whole(0)[0], step=whole(-3)[0]).tolist() == [
        7,
        4,
        1,
    ]


def test_shapes_by_reference() -> None:
    x = torch.randn(2, 3, 20)
    like = [torch.zeros(2, 3, 4), torch.zeros(1, 5, 1)]
    found = call(
        "reshape_like", x=x, ref_tensors=like, begins=(0, 1), ends=(3, 0), end_masks=(False, True)
    )
    assert found.shape == (2, 3, 4, 5, 1)
    assert call("flatten2d", x=x, axis=-1).shape == (6, 20)


def test_order_of_equal_elements_is_that_of_their_places() -> None:
    x = tensor(1, 3, 3, 2, 3)
    values, indices = call("topk", x=x, k=4)
    assert values.tolist() == [3, 3, 3, 2]
    assert indices.tolist() == [1, 2, 4, 3]
    assert call("topk", x=x, k=-1, ascending=True, return_indices=False).tolist() == [1, 2, 3, 3, 3]
    with pytest.raises(OpError, match="6 of an axis of 5"):
        call("topk", x=x, k=6)


def test_cumulative_sums() -> None:
    x = tensor(1, 2, 3)
    assert call("cumsum", x=x, exclusive=True).tolist() == [0, 1, 3]
    assert call("cumsum", x=x, reverse=True).tolist() == [6, 5, 3]
    assert call("cumsum", x=x, exclusive=True, reverse=True).tolist() == [5, 3, 0]


def test_masks_of_positions() -> None:
    assert call("one_hot", indices=whole(1, -1, 3), one_hot_vector_size=2, axis=0).tolist() == [
        [0, 0, 0],
        [1, 0, 0],
    ]
    x = torch.ones(3, 3)
    assert_close(call("band_part", x=x, lower=0), x.triu())
    assert_close(call("band_part", x=x, upper=1), x.tril(1))
    assert call("non_zero", x=tensor([0, 2], [3, 0])).tolist() == [[0, 1], [1, 0]]


# Quantization, lists, classes


def test_quantize_rounds_ties_to_even_and_limits() -> None:
    x = tensor([-300, 0.5, 1.5], [2.5, 10, 300])
    found = call("quantize", input=x, scale=torch.tensor(1.0), output_dtype="int8")
    assert found.tolist() == [[-128, 0, 2], [2, 10, 127]]
    scales, zero_points = tensor(1, 2), torch.tensor([0, 100], dtype=torch.uint8)
    given = {"scale": scales, "zero_point": zero_points, "axis": 0}
    found = call("quantize", input=x, output_dtype="uint8", **given)
    assert found.tolist() == [[0, 0, 2], [101, 105, 250]]
    assert call("dequantize", input=found, **given).tolist() == [[0, 0, 2], [2, 10, 300]]
    with pytest.raises(OpError, match="2 scales or zero points without an axis"):
        call("dequantize", input=found, scale=scales)


def test_lists_grow_and_refuse_what_was_never_there() -> None:
    made = call("make_list", elem_shape=[whole(2)], init_length=1)
    longer = call("list_write", ls=made, index=2, value=tensor(5, 6))
    assert call("list_length", ls=longer).item() == 3
    assert call("list_length", ls=made).item() == 1  # lists are values
    assert call("list_gather", ls=longer, indices=(2, 1)).tolist() == [[5, 6], [0, 0]]
    spread = call("list_scatter", ls=made, indices=(1, 0), value=tensor([1, 2], [3, 4]))
    assert call("list_read", ls=spread, index=0).tolist() == [3, 4]
    for wrong in (-1, 3):
        with pytest.raises(OpError, match=f"element {wrong} of a list"):
            call("list_read", ls=longer, index=wrong)


def test_elements_of_a_shape_known_only_later_must_be_written_first() -> None:
    made = call("make_list", elem_shape=["rows"], init_length=1)
    assert isinstance(made, TensorList)
    with pytest.raises(OpError, match="never written"):
        call("list_read", ls=made, index=0)
    written = call("list_write", ls=made, index=0, value=tensor(1))
    assert call("list_read", ls=written, index=0).tolist() == [1]


def test_classes_are_texts_or_integers() -> None:
    given = {"probabilities": tensor([0.25, 0.75])}
    label, by_label = call("classify", classes=["cat", "dog"], **given)
    assert (label, by_label) == ("dog", {"cat": 0.25, "dog": 0.75})
    label, by_label = call("classify", classes=torch.tensor([10, 20]), **given)
    assert (int(label), by_label) == (20, {10: 0.25, 20: 0.75})
    with pytest.raises(OpError, match="3 classes, 2 probabilities"):
        call("classify", classes=["a", "b", "c"], **given)
    with pytest.raises(OpError, match="the class 'a' twice"):
        call("classify", classes=["a", "a"], **given)


def test_a_range_that_goes_the_other_way_is_empty() -> None:
    found = call("range_1d", end=whole(-2)[0], start=whole(0)[0], step=whole(1)[0])
    assert (found.shape, found.dtype) == ((0,), torch.int32)
