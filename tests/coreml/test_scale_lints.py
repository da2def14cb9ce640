"""Where the checks of scales end: what is next to a fault and is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .building import Builder
from .test_lints import LARGE, inspect, scaled


@pytest.mark.parametrize(
    ("scale", "remarks"),
    [
        (1.0, ()),
        (2.0**-15, ("Of 64 scales, 64 lie below the normal range of float16, and 0 are zero.",)),
        (
            0.0,
            (
                "Of 64 scales, 0 lie below the normal range of float16, and 64 are zero; "
                "4096 values are zero for that.",
            ),
        ),
    ],
)
def test_scales_near_zero_are_counted(
    scale: float, remarks: tuple[str, ...], tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", LARGE, scale=scale)
    builder.consume("w")
    assert inspect(builder, tmp_path).remarks == remarks


def channels(builder: Builder, scales: list[float], codes: list[int], **offset: int) -> None:
    """Build a weight of uint8 with a scale and one code for each of its output channels."""
    count = len(scales)
    inputs: dict[str, bytes | str] = {
        "data": builder.stored(np.repeat(codes, 8).reshape(count, 8), "uint8"),
        "scale": builder.stored(np.array(scales).reshape(count, 1), "float16"),
    }
    if offset:
        inputs["offset"] = builder.stored(np.full((count, 1), offset["offset"]), "uint8")
    builder.add("constexpr_blockwise_shift_scale", inputs, [("w", "float16", (count, 8))])
    builder.consume("w")


SMALLEST = 2.0**-24  # number of float16


@pytest.mark.parametrize(
    ("scales", "codes", "offset", "lost"),
    [
        ([SMALLEST, 0.0], [1, 100], {}, 8),
        ([SMALLEST, 0.0], [1, 0], {}, 0),  # a channel of zeros
        ([SMALLEST, 0.0], [129, 128], {"offset": 128}, 0),
        ([SMALLEST, 0.0], [129, 228], {"offset": 128}, 8),
        ([0.0, 0.0], [1, 1], {}, 16),
        ([1.0, 0.0], [1, 100], {}, 0),  # float16 rounds to zero what is below 2^-25
    ],
)
def test_values_may_not_be_lost_to_a_scale_of_zero(
    scales: list[float], codes: list[int], offset: dict[str, int], lost: int, tmp_path: Path
) -> None:
    builder = Builder()
    channels(builder, scales, codes, **offset)
    problems = inspect(builder, tmp_path).problems
    told = f"w (linear): {lost} of 16 values are lost, because their scale is zero."
    assert problems == ((told,) if lost else ())


def test_lost_values_that_nobody_misses_are_counted(tmp_path: Path) -> None:
    builder = Builder()
    channels(builder, [1.0, 0.0], [1, 100])
    (remark,) = inspect(builder, tmp_path).remarks
    assert remark.endswith("1 are zero; 8 values are zero for that.")


@pytest.mark.parametrize(
    "scales",
    [
        [1.0, 2.0**-15],  # the channel is 2^-15 of the weight: nobody notices
        [2.0**-13, 2.0**-14],  # not below the normal range
    ],
)
def test_scales_that_nobody_misses_are_not_at_risk(scales: list[float], tmp_path: Path) -> None:
    builder = Builder()
    channels(builder, scales, [100, 100])
    assert inspect(builder, tmp_path).suspicions == ()


def test_a_weight_whose_scales_a_device_may_take_for_zero_is_suspect(tmp_path: Path) -> None:
    builder = Builder()
    channels(builder, [2.0**-13, 2.0**-15], [100, 100])
    (told,) = inspect(builder, tmp_path).suspicions
    assert "1 of 2 scales lie below the normal range" in told
    assert "loses 24.3 % of the weight" in told


def tables(builder: Builder, count: int, scale: tuple[int, ...] = ()) -> None:
    """Build a weight of tables of 4 entries, with scales over it if a shape is given."""
    inputs: dict[str, bytes | str] = {
        "indices": builder.stored(np.zeros((8, 16)), "uint2"),
        "lut": builder.stored(np.ones((count, 1, 4, 1)), "float16"),
    }
    builder.add("constexpr_lut_to_dense", inputs, [("t", "float16", (8, 16))])
    if scale:
        over: dict[str, bytes | str] = {
            "data": "t",
            "scale": builder.stored(np.ones(scale), "float16"),
        }
        builder.add("constexpr_blockwise_shift_scale", over, [("w", "float16", (8, 16))])
    builder.consume("w" if scale else "t")


@pytest.mark.parametrize(
    ("scale", "fault"), [((), False), ((8, 1), False), ((1, 1), False), ((1, 16), True)]
)
def test_tables_may_not_be_scaled_for_each_input_channel(
    scale: tuple[int, ...], fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    tables(builder, 2, scale)
    problems = inspect(builder, tmp_path).problems
    assert any("scaled for each input channel" in problem for problem in problems) == fault


def divided(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = values / np.abs(values).max(axis=0, keepdims=True)
    return found


WEIGHT = np.random.default_rng(0).normal(size=LARGE).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "op", "fault"),
    [
        (divided(WEIGHT), "linear", True),
        (WEIGHT, "linear", False),
        (divided(WEIGHT).T.copy(), "linear", False),  # for each output channel: a norm, perhaps
        (np.eye(64), "linear", False),
        (np.sign(WEIGHT), "linear", False),
        (divided(WEIGHT), "add", False),
        (divided(WEIGHT[:8, :8]), "linear", False),  # too small to matter
    ],
)
def test_a_dense_weight_that_was_divided_is_named(
    values: np.ndarray, op: str, fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    builder.constant("w", values, "float16")
    builder.consume("w", op, "weight" if op == "linear" else "y")
    problems = inspect(builder, tmp_path).problems
    assert any("largest value of each input channel is 1" in item for item in problems) == fault
