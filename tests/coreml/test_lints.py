"""Where the checks for silent faults end: what is next to a fault and is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.runtimes.coreml import PLUGIN

from .building import Builder, text

LARGE, SMALL = (64, 64), (8, 8)
SHAPE = (1, 4)


def inspect(builder: Builder, tmp_path: Path) -> ArtifactInfo:
    return PLUGIN.inspect(builder.package(tmp_path / "m.mlpackage"))


def scaled(
    builder: Builder, name: str, shape: tuple[int, int], blocks: int = 1, scale: float = 1
) -> None:
    inputs: dict[str, bytes | str] = {
        "data": builder.stored(np.ones(shape), "int8"),
        "scale": builder.stored(np.full((shape[0], blocks), scale), "float16"),
    }
    builder.add("constexpr_blockwise_shift_scale", inputs, [(name, "float16", shape)])


def rounded(builder: Builder, dtype: str, scale: float, *users: str) -> None:
    """Build ``linear → quantize → dequantize → users`` over a range."""
    builder.constant("w", np.ones((4, 4)), "float16")
    builder.constant("s", np.array(scale), "float16")
    builder.constant("low", np.array(0.0), "float16")
    builder.constant("high", np.array(6.0), "float16")
    builder.add("linear", {"x": "x", "weight": "w"}, [("a", "float16", SHAPE)])
    builder.add("quantize", {"input": "a", "scale": "s"}, [("q", dtype, SHAPE)])
    builder.add("dequantize", {"input": "q", "scale": "s"}, [("d", "float16", SHAPE)])
    for place, op in enumerate(users):
        inputs: dict[str, bytes | str] = {"x": "d"}
        if op == "clip":
            inputs |= {"alpha": "low", "beta": "high"}
        builder.add(op, inputs, [(f"y{place}", "float16", SHAPE)])


@pytest.mark.parametrize(
    ("dtype", "scale", "users", "words"),
    [
        ("int8", 0.1, ("clip",), "a (linear): rounded over -12.8…12.7 before clip cuts it to 0…6"),
        ("int8", 0.1, ("relu",), "before relu cuts it to 0…inf"),
        ("uint8", 0.1, ("relu6",), "rounded over 0…25.49 before relu6 cuts it to 0…6"),
        ("uint8", 6 / 255, ("clip",), ""),  # saturation is the clamp
        ("uint8", 6 / 255, ("relu6",), ""),
        ("uint8", 0.1, ("relu",), ""),
        ("int8", 0.1, ("exp",), ""),
        ("int8", 0.1, ("relu", "exp"), ""),  # the other one needs the whole range
        ("int8", 0.1, (), ""),
    ],
)
def test_a_clamp_may_not_cut_what_was_rounded_for_it_alone(
    dtype: str, scale: float, users: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    builder = Builder()
    rounded(builder, dtype, scale, *users)
    problems = inspect(builder, tmp_path).problems
    assert (words in problems[0]) if words else problems == ()


@pytest.mark.parametrize(("op", "fault"), [("add", True), ("mul", True), ("reshape", False)])
def test_a_compressed_operand_of_arithmetic_is_no_weight(
    op: str, fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", SMALL)
    builder.consume("w", op, "x")
    problems = inspect(builder, tmp_path).problems
    assert any("no weight of a layer" in problem for problem in problems) == fault


def test_a_cast_constant_is_not_compressed(tmp_path: Path) -> None:
    builder = Builder()
    inputs: dict[str, bytes | str] = {
        "source_val": builder.stored(np.ones(SMALL), "float16"),
        "output_dtype": text("fp32"),
    }
    builder.add("constexpr_cast", inputs, [("w", "float32", SMALL)], {})
    builder.consume("w", "add", "y")
    assert not any("compressed" in item for item in inspect(builder, tmp_path).problems)


@pytest.mark.parametrize(("shape", "fault"), [(LARGE, True), (SMALL, False)])
def test_large_constants_may_not_outgrow_themselves(
    shape: tuple[int, int], fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", shape, blocks=shape[1])  # a scale for each element
    builder.consume("w")
    problems = inspect(builder, tmp_path).problems
    assert any("more than the 8192 that it takes" in problem for problem in problems) == fault


@pytest.mark.parametrize(("size", "skipped"), [(64, False), (72, True), (24, False)])
def test_a_dense_weight_is_suspect_if_it_does_not_divide(
    size: int, skipped: bool, tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", LARGE, blocks=4)
    builder.consume("w")
    builder.constant("dense", np.ones((64, size)), "float16")
    builder.consume("dense")
    suspicions = inspect(builder, tmp_path).suspicions
    assert ["into blocks of 16" in item for item in suspicions] == [True] * skipped


@pytest.mark.parametrize(
    ("scale", "remarks"),
    [
        (1.0, ()),
        (2.0**-15, ("Of 64 scales, 64 lie below the normal range of float16, and 0 are zero.",)),
        (0.0, ("Of 64 scales, 0 lie below the normal range of float16, and 64 are zero.",)),
    ],
)
def test_scales_near_zero_are_counted(
    scale: float, remarks: tuple[str, ...], tmp_path: Path
) -> None:
    builder = Builder()
    scaled(builder, "w", LARGE, scale=scale)
    builder.consume("w")
    assert inspect(builder, tmp_path).remarks == remarks


@pytest.mark.parametrize(
    ("rows", "through", "fault"),
    [(3000, "float16", True), (2000, "float16", False), (3000, "int32", False)],
)
def test_ids_of_large_tables_may_not_pass_through_float16(
    rows: int, through: str, fault: bool, tmp_path: Path
) -> None:
    builder = Builder()
    builder.constant("table", np.ones((rows, 2)), "float16")
    builder.constant("zero", np.array(0), "int32")
    builder.add("argmax", {"x": "x"}, [("ids", "int32", SHAPE)])
    builder.add("cast", {"x": "ids"}, [("between", through, SHAPE)])
    builder.add("cast", {"x": "between"}, [("back", "int32", SHAPE)])
    builder.add(
        "gather",
        {"x": "table", "indices": "back", "axis": "zero"},
        [("y", "float16", (1, 4, 2))],
    )
    problems = inspect(builder, tmp_path).problems
    assert any("ids pass through float16 in between" in item for item in problems) == fault
