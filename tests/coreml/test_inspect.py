"""What the runtime reports of a package: schemes as stored, and every problem by name."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.errors import FileRejected
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.runtimes.coreml import PLUGIN
from mobilesdk.verify.soundness import enforce_sound

from .building import Builder, write_package

Value = dict[str, Any]


def inspect(builder: Builder, tmp_path: Path) -> ArtifactInfo:
    return PLUGIN.inspect(builder.package(tmp_path / "m.mlpackage"))


def one(builder: Builder, tmp_path: Path) -> str:
    info = inspect(builder, tmp_path)
    assert info.problems == ()
    (weight,) = info.weights
    return str(weight.scheme)


def blockwise(
    scale_shape: tuple[int, ...],
    shape: tuple[int, ...] = (8, 16),
    dtype: str = "int4",
    op: str = "linear",
    **offset: int,
) -> Builder:
    builder = Builder()
    inputs: Value = {
        "data": builder.stored(np.ones(shape), dtype),
        "scale": builder.stored(np.ones(scale_shape), "float16"),
    }
    if offset:
        inputs["offset"] = builder.stored(np.full(scale_shape, offset["offset"]), dtype)
    builder.add("constexpr_blockwise_shift_scale", inputs, [("w", "float16", shape)])
    builder.consume("w", op)
    return builder


@pytest.mark.parametrize(
    ("builder", "scheme"),
    [
        (blockwise((1, 1)), "int4/tensor"),
        (blockwise((8, 1)), "int4/channel"),
        (blockwise((8, 4)), "int4/block4"),
        (blockwise((8, 1), dtype="uint8", offset=128), "int8/channel"),
        (blockwise((8, 1), dtype="uint8", offset=3), "int8-affine/channel"),
        (blockwise((1, 16), op="conv_transpose"), "int4/channel"),
        (blockwise((4, 16), op="conv_transpose"), "int4/block2"),
    ],
)
def test_linear_schemes_are_read(builder: Builder, scheme: str, tmp_path: Path) -> None:
    assert one(builder, tmp_path) == scheme


@pytest.mark.parametrize("scale_shape", [(1, 16), (4, 1), (4, 4)])
def test_scales_along_the_wrong_axis_are_a_problem(
    scale_shape: tuple[int, ...], tmp_path: Path
) -> None:
    info = inspect(blockwise(scale_shape), tmp_path)
    assert info.weights == ()
    assert "scales of shape" in info.problems[0]


def palette(
    table_shape: tuple[int, ...],
    dtype: str = "uint2",
    indices: np.ndarray | None = None,
    **extra: Any,
) -> Builder:
    builder = Builder()
    codes = np.zeros((8, 16)) if indices is None else indices
    inputs: Value = {
        "indices": builder.stored(codes, dtype),
        "lut": builder.stored(np.ones(table_shape), "float16"),
        **{name: builder.inline(np.array(value), "int32") for name, value in extra.items()},
    }
    builder.add("constexpr_lut_to_dense", inputs, [("w", "float16", codes.shape)])
    builder.consume("w")
    return builder


@pytest.mark.parametrize(
    ("table_shape", "scheme"),
    [
        ((1, 1, 4, 1), "palette2/tensor"),
        ((2, 1, 4, 1), "palette2/group4"),
        ((8, 1, 4, 1), "palette2/channel"),
    ],
)
def test_palettes_are_read(table_shape: tuple[int, ...], scheme: str, tmp_path: Path) -> None:
    assert one(palette(table_shape), tmp_path) == scheme


def sparse(mask: np.ndarray, data: np.ndarray) -> Builder:
    builder = Builder()
    inputs: Value = {
        "nonzero_data": builder.stored(data, "float16"),
        "mask": builder.stored(mask, "uint1"),
    }
    builder.add("constexpr_sparse_to_dense", inputs, [("w", "float16", mask.shape)])
    builder.consume("w")
    return builder


@pytest.mark.parametrize(
    ("mask", "scheme"),
    [
        (np.ones((8, 16)), "float16"),
        ((np.arange(16) + np.arange(8)[:, None]) % 4 < 2, "float16 sparse2:4"),
        ((np.arange(16) + np.arange(8)[:, None]) % 8 == 0, "float16 sparse1:8"),
        (np.eye(2).repeat(4, 0).repeat(8, 1), "float16 sparse50%/block4"),
        (np.random.default_rng(0).random((64, 64)) < 0.5, "float16 sparse49%"),
    ],
)
def test_sparsity_and_pattern_are_those_of_the_mask(
    mask: np.ndarray, scheme: str, tmp_path: Path
) -> None:
    """Zeros among the values that a mask keeps do not make a weight sparse."""
    data = np.ones(np.count_nonzero(mask))
    data[: data.size // 50] = 0
    (weight,) = inspect(sparse(mask, data), tmp_path).weights
    assert str(weight.scheme) == scheme


def test_sparse_weights_are_read(tmp_path: Path) -> None:
    mask = np.arange(32).reshape(4, 8) % 4 == 0
    info = inspect(sparse(mask, np.ones(8)), tmp_path)
    (weight,) = info.weights
    assert weight.scheme.sparsity == 0.75
    assert weight.size_bytes == 8 * 2 + 4
    assert weight.fingerprint == fingerprint(mask)


@pytest.mark.parametrize(
    ("builder", "problem"),
    [
        (palette((3, 1, 4, 1)), "does not divide into 3 blocks of tables"),
        (palette((1, 1, 2, 1), indices=np.full((8, 16), 3)), "an index past the end of a table"),
        (palette((1, 1, 4, 2)), "vectors without an axis"),
        (palette((1, 1, 4, 2), vector_axis=7), "an axis for vectors that the data lack"),
        (palette((1, 4, 4, 1)), "tables of shape"),
        (blockwise((3, 1)), "axis 0 of 8 elements does not divide into 3 blocks of scales"),
        (blockwise((8, 5)), "axis 1 of 16 elements does not divide into 5 blocks of scales"),
        (blockwise((8,)), "scales of rank 1 for data of rank 2"),
    ],
)
def test_weights_that_contradict_themselves_are_problems(
    builder: Builder, problem: str, tmp_path: Path
) -> None:
    info = inspect(builder, tmp_path)
    assert info.weights == ()
    assert problem in info.problems[0]


def test_a_mask_that_does_not_match_its_data_is_a_problem(tmp_path: Path) -> None:
    builder = Builder()
    inputs: Value = {
        "nonzero_data": builder.stored(np.ones(7), "float16"),
        "mask": builder.stored(np.eye(8), "uint1"),
    }
    builder.add("constexpr_sparse_to_dense", inputs, [("w", "float16", (8, 8))])
    builder.consume("w")
    assert "a mask with 8 set bits for data of shape (7,)" in inspect(builder, tmp_path).problems[0]


def test_a_declared_shape_that_is_not_stored_is_a_problem(tmp_path: Path) -> None:
    builder = Builder()
    inputs: Value = {
        "data": builder.stored(np.ones((4, 8)), "int8"),
        "scale": builder.stored(np.ones((4, 1)), "float16"),
    }
    builder.add("constexpr_blockwise_shift_scale", inputs, [("w", "float32", (8, 4))])
    builder.consume("w")
    problems = inspect(builder, tmp_path).problems
    assert "declared (8, 4), stored (4, 8)" in problems[0]
    assert "declared float32, stored float16" in problems[1]


def test_values_that_are_not_finite_are_a_problem_whatever_the_rank(tmp_path: Path) -> None:
    builder = Builder()
    builder.constant("w", np.array([[1.0, np.nan], [np.inf, 2.0]]), "float16")
    builder.constant("bias", np.array([np.inf]), "float16")
    builder.consume("w")
    builder.consume("bias", "add", "y")
    info = inspect(builder, tmp_path)
    assert not info.weights[0].finite
    assert [problem.split(":")[1] for problem in info.problems] == [
        " 2 of 4 values are not finite.",
        " 1 of 1 values are not finite.",
    ]


INFINITE = np.array([[0, -np.inf], [0, 0]])


@pytest.mark.parametrize(
    ("values", "uses", "fails"),
    [
        (INFINITE, [("add", "y")], False),
        (INFINITE, [("slice_by_index", "x"), ("scaled_dot_product_attention", "attn_mask")], False),
        (-INFINITE, [("select", "b"), ("clip", "beta")], False),
        (-INFINITE, [("add", "y")], True),  # a sum that overflowed is no mask
        (INFINITE, [("mul", "y")], True),  # 0 times infinity is not a number
        (INFINITE, [("add", "y"), ("mul", "y")], True),
        (INFINITE, [("linear", "weight")], True),
        (np.full((2, 2), np.nan), [("add", "y")], True),
    ],
)
def test_masks_and_bounds_may_be_infinite(
    tmp_path: Path, values: np.ndarray, uses: list[tuple[str, str]], fails: bool
) -> None:
    builder = Builder()
    builder.constant("mask", values, "float16")
    for op, parameter in uses:
        builder.consume("mask", op, parameter)
    info = inspect(builder, tmp_path)
    assert any("values are not finite" in problem for problem in info.problems) == fails
    assert any("masks and bounds may be: mask" in remark for remark in info.remarks) != fails
    if not fails:
        enforce_sound(info)


def test_unknown_compressed_constants_are_rejected_not_skipped(tmp_path: Path) -> None:
    builder = Builder()
    inputs: Value = {"data": builder.stored(np.ones((2, 2)), "int8")}
    builder.add("constexpr_novel", inputs, [("w", "float16", (2, 2))])
    builder.consume("w")
    with pytest.raises(FileRejected, match="constexpr_novel with data is not known"):
        inspect(builder, tmp_path)


def test_inputs_ops_and_system_are_listed(tmp_path: Path) -> None:
    info = inspect(blockwise((8, 1)), tmp_path)
    assert info.minimum_os == "iOS 18"
    assert info.inputs[0].shape == (1, 4)
    assert [(op.type, op.dtype) for op in info.ops] == [("linear", "float16")]
    assert info.size_bytes == sum(
        path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()
    )


@given(st.data())
def test_a_damaged_package_is_inspected_or_rejected_but_never_crashes(data: st.DataObject) -> None:
    made = data.draw(st.sampled_from([blockwise((8, 4)), palette((2, 1, 4, 1))]))
    model, weights = bytearray(made.model()), bytearray(made.weights.content())
    for damaged in (model, weights):
        for _ in range(data.draw(st.integers(0, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(FileRejected):
        PLUGIN.inspect(write_package(Path(folder) / "m.mlpackage", bytes(model), bytes(weights)))
