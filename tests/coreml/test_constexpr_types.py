"""Compressed constants whose arguments are of types that MIL does not have there are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.coreml import load
from mobilesdk.coreml.constexpr import decode
from mobilesdk.coreml.inspection import inspect_package
from mobilesdk.coreml.package import Package
from mobilesdk.errors import ArtifactInvalid, FileRejected, UnsupportedProgram
from tests.coreml.building import Builder
from tests.coreml.programs import Function, Text, Typed, write

SHAPE = (2, 4)
X = np.ones((1, 4), np.float16)
BLOCKS, PALETTE, SPARSE, OLD = (
    "constexpr_blockwise_shift_scale",
    "constexpr_lut_to_dense",
    "constexpr_sparse_to_dense",
    "constexpr_affine_dequantize",
)
SOUND: dict[str, dict[str, tuple[object, str]]] = {
    BLOCKS: {
        "data": (np.ones(SHAPE), "int8"),
        "scale": (np.ones((2, 1)), "float16"),
        "offset": (np.zeros((2, 1)), "int8"),
    },
    PALETTE: {
        "indices": (np.ones(SHAPE), "uint2"),
        "lut": (np.arange(4).reshape(1, 1, 4, 1), "float16"),
    },
    SPARSE: {"nonzero_data": (np.ones(8), "float16"), "mask": (np.ones(SHAPE), "uint1")},
    OLD: {
        "quantized_data": (np.ones(SHAPE), "uint8"),
        "zero_point": (np.zeros(()), "uint8"),
        "scale": (np.ones(()), "float16"),
        "axis": (np.zeros(()), "int32"),
    },
}


def package(root: Path, op: str, result: Typed = ("float16", SHAPE), **changes: object) -> Path:
    """Write a linear layer with a weight stored so, with other arguments than the sound ones."""
    made = Function({"x": ("float16", (1, 4))}, ("y",), opset="CoreML6" if op == OLD else "CoreML8")
    given = {}
    for name, (values, dtype) in {**SOUND[op], **changes}.items():  # type: ignore[misc]
        given[name] = Builder.inline(np.asarray(values), dtype)
    attributes, inputs = (given, {}) if op == OLD else ({}, given)
    made.body.op(op, {"w": result}, (), attributes, **inputs)
    made.body.op("linear", {"y": ("float16", (1, 2))}, x="x", weight="w")
    return write(root / "m", made)


def problems(path: Path) -> str:
    return "\n".join(inspect_package(Package(path)).problems)


@pytest.mark.parametrize("op", SOUND)
def test_sound_constants_load_and_have_no_problem(tmp_path: Path, op: str) -> None:
    path = package(tmp_path, op)
    assert_array_equal(load(path).predict({"x": X})["y"], [[4, 4]])
    assert problems(path) == ""


@pytest.mark.parametrize(
    ("op", "changes", "told"),
    [
        (PALETTE, {"indices": (-np.ones(SHAPE), "int8")}, "indices of int8; MIL has uint1, uint2"),
        (PALETTE, {"indices": (-np.ones(SHAPE), "int4")}, "indices of int4; MIL has"),
        (PALETTE, {"indices": (np.ones(SHAPE), "float16")}, "indices of float16; MIL has"),
        (PALETTE, {"vector_axis": (0.0, "float32")}, "vector_axis of float32; MIL has int32"),
        (BLOCKS, {"offset": (np.full((2, 1), 200), "uint8")}, "an offset of uint8 for int8 data"),
        (BLOCKS, {"data": (np.full(SHAPE, 100001), "int32")}, "data of int32; MIL has float16"),
        (BLOCKS, {"scale": (np.ones((2, 1)), "int8")}, "scale of int8; MIL has float16, float32"),
        (SPARSE, {"mask": (np.full(SHAPE, 2), "uint8")}, "mask of uint8; MIL has uint1"),
        (OLD, {"axis": (0.7, "float32")}, "axis of float32; MIL has int32"),
        (OLD, {"quantized_data": (np.ones(SHAPE), "float16")}, "quantized_data of float16; MIL"),
    ],
)
def test_other_element_types_are_refused_and_reported(
    tmp_path: Path, op: str, changes: dict[str, object], told: str
) -> None:
    path = package(tmp_path, op, **changes)
    with pytest.raises(ArtifactInvalid, match=f"^{op} w: it has {told}"):
        load(path)
    assert f"w (linear): {told}" in problems(path)


def test_what_coremltools_allows_is_allowed(tmp_path: Path) -> None:
    half = package(tmp_path / "half", BLOCKS, offset=(np.full((2, 1), 0.5), "float16"))
    assert_array_equal(load(half).predict({"x": X})["y"], [[2, 2]])
    point = package(tmp_path / "point", OLD, quantized_data=(np.ones(SHAPE), "int8"))
    assert_array_equal(load(point).predict({"x": X})["y"], [[4, 4]])


def test_a_palette_has_an_entry_for_each_index(tmp_path: Path) -> None:
    path = package(tmp_path, PALETTE, lut=(np.arange(3).reshape(1, 1, 3, 1), "float16"))
    told = "a table of 3 entries for indices of uint2"
    assert told in problems(path)
    with pytest.raises(FileRejected, match=told):
        load(path).predict({"x": X})


@pytest.mark.parametrize("dtype", [np.int8, np.float16])
def test_indices_are_unsigned_wherever_they_come_from(dtype: type) -> None:
    given = {"indices": np.full((1, 2), -1, dtype), "lut": np.ones((1, 1, 4, 1), np.float16)}
    with pytest.raises(FileRejected, match="have a sign or are no integers"):
        decode(PALETTE, given)


def test_a_result_has_the_type_of_what_it_is_decoded_from(tmp_path: Path) -> None:
    path = package(tmp_path, BLOCKS, ("float32", SHAPE))
    with pytest.raises(ArtifactInvalid, match="what it decodes to is float16, its result w is"):
        load(path)
    assert "declared float32, stored float16" in problems(path)


def test_an_argument_is_given_once(tmp_path: Path) -> None:
    made = Function({"x": ("float16", (1, 4))}, ("y",))
    given = {
        name: Builder.inline(np.asarray(v), dtype) for name, (v, dtype) in SOUND[BLOCKS].items()
    }
    made.body.op(BLOCKS, {"w": ("float16", SHAPE)}, (), {"scale": given["scale"]}, **given)
    made.body.op("linear", {"y": ("float16", (1, 2))}, x="x", weight="w")
    with pytest.raises(FileRejected, match="w has scale twice"):
        load(write(tmp_path / "m", made))


def test_scales_are_numbers(tmp_path: Path) -> None:
    made = Function({"x": ("float16", (1, 4))}, ("y",))
    data = Builder.inline(np.ones(SHAPE), "int8")
    made.body.op(BLOCKS, {"w": ("float16", SHAPE)}, data=data, scale=Text("one"))
    made.body.op("linear", {"y": ("float16", (1, 2))}, x="x", weight="w")
    path = write(tmp_path / "m", made)
    assert "scale of string; MIL has float16, float32" in problems(path)
    with pytest.raises(ArtifactInvalid, match="scale of string"):
        load(path)


def test_operations_have_no_arguments_among_their_attributes(tmp_path: Path) -> None:
    made = Function({"x": ("float16", (1, 4))}, ("y",))
    axis = Builder.inline(np.asarray(0), "int32")
    made.body.op("softmax", {"y": ("float16", (1, 4))}, (), {"axis": axis}, x="x")
    with pytest.raises(UnsupportedProgram, match="attribute axis of softmax"):
        load(write(tmp_path / "m", made))


def test_odd_bits_are_told_in_plain_words(tmp_path: Path) -> None:
    made = Function({"x": ("float16", (1, 4))}, ("y",))
    weight = Builder.inline(np.ones(SHAPE), "float64")
    made.body.op("const", {"w": ("float64", SHAPE)}, (), {"val": weight})
    made.body.op("linear", {"y": ("float16", (1, 2))}, x="x", weight="w")
    (found,) = inspect_package(Package(write(tmp_path / "m", made))).problems
    assert found.startswith("w (linear): float weights have (16, 32) bits")
