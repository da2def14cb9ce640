"""Operations that compute, against torch and numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.ops.registry import OpError
from mobilesdk.coreml.program import TensorType
from tests.coreml.calling import call, tensor, whole

STEPS, SAMPLES, WIDTH, HIDDEN = 5, 2, 3, 4


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# Products


def test_products_of_integers_and_floats_have_the_declared_type() -> None:
    declared = (TensorType(ElementType.INT32, (1,)),)
    given = {"x": whole([1, 2]), "results": declared}
    assert call("matmul", y=tensor([3], [4]), **given).tolist() == [[11]]
    with pytest.raises(OpError, match="not whole"):
        call("matmul", y=tensor([0.5], [4]), **given)
    found = call("linear", x=tensor([0.5, 2]), weight=whole([3, 4]), bias=whole(1))
    assert found.tolist() == [[10.5]]


# Recurrent


def gates(weight: Tensor, order: tuple[int, ...]) -> Tensor:
    parts = weight.detach().chunk(len(order))
    return torch.cat([parts[index] for index in order])


def lstm_weights(layer: nn.LSTM, suffix: str = "") -> dict[str, Tensor]:
    """Give torch's weights (input, forget, cell, output) in the order of MIL."""
    order = (0, 1, 3, 2)
    given = {
        name: gates(getattr(layer, f"{name}_l0{suffix}"), order)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    given["bias"] = given.pop("bias_ih") + given.pop("bias_hh")
    return given


def test_bidirectional_lstm_is_that_of_torch() -> None:
    layer = nn.LSTM(WIDTH, HIDDEN, bidirectional=True)
    x = torch.randn(STEPS, SAMPLES, WIDTH)
    h, c = torch.randn(2, SAMPLES, HIDDEN), torch.randn(2, SAMPLES, HIDDEN)
    back = {f"{name}_back": value for name, value in lstm_weights(layer, "_reverse").items()}
    found = call(
        "lstm",
        x=x,
        initial_h=torch.cat(list(h), 1),
        initial_c=torch.cat(list(c), 1),
        direction="bidirectional",
        output_sequence=True,
        **lstm_weights(layer),
        **back,
    )
    expected, (last_h, last_c) = layer(x, (h, c))
    assert_close(found, (expected, torch.cat(list(last_h), 1), torch.cat(list(last_c), 1)))


def test_reverse_layer_gives_its_steps_in_the_order_of_computation() -> None:
    layer = nn.LSTM(WIDTH, HIDDEN)
    x, zero = torch.randn(STEPS, SAMPLES, WIDTH), torch.zeros(SAMPLES, HIDDEN)
    arguments = {"initial_h": zero, "initial_c": zero, **lstm_weights(layer)}
    sequence, last, _ = call("lstm", x=x, direction="reverse", output_sequence=True, **arguments)
    assert_close(sequence, layer(x.flip(0))[0])
    assert_close(sequence[-1], last)


def test_lstm_limits_the_state_of_its_cells() -> None:
    layer = nn.LSTM(WIDTH, HIDDEN)
    arguments = {"initial_h": torch.zeros(1, HIDDEN), "initial_c": torch.full((1, HIDDEN), 9.0)}
    x = torch.randn(1, 1, WIDTH)
    *_, c = call("lstm", x=x, clip=0.01, **arguments, **lstm_weights(layer))
    assert c.abs().max() <= 0.01


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_resets_before_the_product_unless_told_otherwise(reset_after: bool) -> None:
    layer = nn.GRU(WIDTH, HIDDEN)
    order = (0, 2, 1)  # torch has reset, update, new
    given = {
        "weight_ih": gates(layer.weight_ih_l0, order),
        "weight_hh": gates(layer.weight_hh_l0, order),
        "input_bias": gates(layer.bias_ih_l0, order),
        "bias": gates(layer.bias_hh_l0, order),
    }
    x, h = torch.randn(STEPS, SAMPLES, WIDTH), torch.randn(SAMPLES, HIDDEN)
    _, found = call("gru", x=x, initial_h=h, reset_after=reset_after, **given)
    _, expected = layer(x, h.unsqueeze(0))
    assert torch.allclose(found, expected[0], atol=1e-5) == reset_after


def test_rnn_is_that_of_torch_and_knows_its_activations() -> None:
    layer = nn.RNN(WIDTH, HIDDEN, nonlinearity="relu")
    given = {
        "weight_ih": layer.weight_ih_l0.detach(),
        "weight_hh": layer.weight_hh_l0.detach(),
        "bias": (layer.bias_ih_l0 + layer.bias_hh_l0).detach(),
    }
    x, h = torch.randn(STEPS, SAMPLES, WIDTH), torch.zeros(SAMPLES, HIDDEN)
    sequence, last = call("rnn", x=x, initial_h=h, activation="relu", **given)
    assert_close(last, layer(x)[1][0].detach())
    assert sequence.shape == (1, SAMPLES, HIDDEN)
    with pytest.raises(OpError, match="'sine' is not known"):
        call("rnn", x=x, initial_h=h, activation="sine", **given)


# Resizing and sampling


@pytest.mark.parametrize("size", [1, 4, 7, 13])
def test_linear_resizing_is_that_of_torch(size: int) -> None:
    x = torch.randn(2, 3, 7, 5)
    for mode, aligned in (("STRICT_ALIGN_CORNERS", True), ("UNALIGN_CORNERS", False)):
        found = call(
            "resize_bilinear",
            x=x,
            target_size_height=size,
            target_size_width=size,
            sampling_mode=mode,
        )
        expected = functional.interpolate(x, (size, size), mode="bilinear", align_corners=aligned)
        assert_close(found, expected)


@pytest.mark.parametrize("factor", [0.5, 1.4, 2.0, 3.0])
def test_nearest_upsampling_is_that_of_torch(factor: float) -> None:
    x = torch.randn(2, 3, 10, 5)
    found = call(
        "upsample_nearest_neighbor", x=x, scale_factor_height=factor, scale_factor_width=factor
    )
    sizes = [int(10 * factor), int(5 * factor)]
    assert_close(found, functional.interpolate(x, sizes, mode="nearest"))


def test_resize_rounds_to_the_nearest_and_keeps_axes() -> None:
    x = tensor(0, 10, 20, 30).reshape(1, 1, 4)
    nearest = {"interpolation_mode": "NEAREST_NEIGHBOR", "resized_dims": 2}
    assert call("resize", x=x, shape=(1, 3), **nearest).tolist() == [[[0, 10, 30]]]
    below = call("resize_nearest_neighbor", x=x, target_size_height=1, target_size_width=3)
    assert below.tolist() == [[[0, 10, 20]]]
    assert_close(call("resize", x=x, shape=(9, 0, 0), **nearest), x)


@pytest.mark.parametrize("sampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [True, False])
def test_resample_is_grid_sample_of_torch(sampling: str, padding: str, aligned: bool) -> None:
    x, places = torch.randn(2, 3, 5, 6), torch.rand(2, 9, 8, 2) * 6 - 3
    about_edges = padding == "reflection" and not aligned
    found = call(
        "resample",
        x=x,
        coordinates=places,
        sampling_mode=sampling,
        padding_mode={"zeros": "constant"}.get(padding, "symmetric" if about_edges else padding),
        padding_value=0.0,
        coordinates_mode="normalized_minus_one_to_one",
        align_corners=aligned,
    )
    expected = functional.grid_sample(x, places, sampling, padding, aligned)
    assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("aligned", [True, False])
def test_affine_is_that_of_torch(aligned: bool) -> None:
    x, matrices = torch.randn(2, 3, 5, 6), torch.randn(2, 2, 3)
    found = call(
        "affine",
        x=x,
        transform_matrix=matrices.reshape(2, 6),
        output_height=4,
        output_width=7,
        sampling_mode="bilinear",
        padding_mode="constant",
        padding_value=0.0,
        coordinates_mode="normalized_minus_one_to_one",
        align_corners=aligned,
    )
    places = functional.affine_grid(matrices, [2, 3, 4, 7], aligned)
    expected = functional.grid_sample(x, places, "bilinear", "zeros", aligned)
    assert_close(found, expected, atol=1e-4, rtol=1e-4)


RAMP = torch.arange(16.0).reshape(1, 1, 4, 4)


def crop(boxes: Tensor, **given: Any) -> Any:
    given = {"target_height": 2, "target_width": 2, "sampling_mode": "ALIGN_CORNERS"} | given
    return call("crop_resize", x=RAMP, boxes=boxes, **given).flatten(1).tolist()


def test_crop_resize_takes_boxes_in_all_conventions() -> None:
    expected = [[5, 7, 9, 11]]
    assert crop(tensor([1, 1, 2, 3])) == expected
    assert crop(tensor([1, 1, 3, 2]), box_coordinate_mode="CORNERS_WIDTH_FIRST") == expected
    assert crop(tensor([1.5, 2, 1, 2]), box_coordinate_mode="CENTER_SIZE_HEIGHT_FIRST") == expected
    assert crop(tensor([2, 1.5, 2, 1]), box_coordinate_mode="CENTER_SIZE_WIDTH_FIRST") == expected
    assert crop(tensor([2, 2, 4, 6]), spatial_scale=0.5) == expected
    assert crop(tensor([2, 3, 1, 1])) == [[11, 9, 7, 5]]  # a box turned round


def test_crop_resize_fills_what_lies_outside_and_checks_indices() -> None:
    assert crop(tensor([2, 2, 5, 5]), pad_value=-1.0) == [[10, -1, -1, -1]]
    with pytest.raises(OpError, match="outside an axis of 1"):
        crop(tensor([0, 0, 1, 1]), box_indices=whole(1))
    regions = tensor([0, 1, 1, 2, 3]).reshape(1, 1, 5, 1, 1)
    old = call("crop_resize", ios=16, x=RAMP, roi=regions, target_height=1, target_width=1)
    assert old.shape == (1, 1, 1, 1, 1)


def test_crop_resize_before_ios_16_refuses_boxes_that_leave_the_image() -> None:
    def first(box: list[float], **given: Any) -> Any:
        regions = tensor(box).reshape(1, 1, 4, 1, 1)
        return call("crop_resize", ios=15, x=RAMP, roi=regions, **given).flatten().tolist()

    assert first([1, 1, 3, 3]) == first([1 / 3, 1 / 3, 1, 1], normalized_coordinates=True)
    for box, given in (
        ([1, 1, 3, 3.5], {}),
        ([-1, 1, 3, 3], {}),
        ([0, 0, 1, 2], {"normalized_coordinates": True}),
    ):
        with pytest.raises(OpError, match="undefined before iOS 16"):
            first(box, **given)
