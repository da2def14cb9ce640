"""Values inside a package: every result, by the names of the program that it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.coreml.observed import ObservedPackage
from mobilesdk.coreml.package import Package
from mobilesdk.errors import ArtifactInvalid
from tests.coreml.programs import Function, Text, write

HALF, SINGLE, BYTE = "float16", "float32", "int8"
CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(2,), dtype="float32"),),
    outputs=(OutputSpec(name="y", shape=(2,), dtype="float32"),),
)


def observed(root: Path, made: Function) -> ObservedPackage:
    return ObservedPackage(Package(write(root / "m", made)), CONTRACT, 1)


def test_all_results_come_in_order_with_their_sources(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    made.body.op("cast", {"x_to_fp16": (HALF, (2,))}, x="x", dtype=Text("fp16"))
    made.body.op("exp", {"exp_1_cast_fp16": (HALF, (2,))}, x="x_to_fp16")
    made.body.op("cast", {"y": (SINGLE, (2,))}, x="exp_1_cast_fp16", dtype=Text("fp32"))
    x = np.array([0.0, 1.0], np.float32)
    found = observed(tmp_path, made).run({"x": x})
    assert [item.op.name for item in found] == ["x_to_fp16", "exp_1_cast_fp16", "y"]
    assert [item.op.type for item in found] == ["cast", "exp", "cast"]
    assert [item.op.float_name for item in found] == ["x", "exp_1", "y"]
    assert [item.op.sources for item in found] == [("x",), ("x_to_fp16",), ("exp_1_cast_fp16",)]
    np.testing.assert_array_equal(found[1].values, np.exp(x).astype(np.float16))
    assert {item.op.not_comparable for item in found} == {""}


def test_sums_of_dequantized_values_and_integers_are_not_compared(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    scale = np.float32(0.5)
    made.body.op("quantize", {"q": (BYTE, (2,))}, input="x", scale=scale, output_dtype=Text("int8"))
    made.body.op("dequantize", {"d": (SINGLE, (2,))}, input="q", scale=scale)
    made.body.op("add", {"sum": (SINGLE, (2,))}, x="x", y="d")
    made.body.op("add", {"y": (SINGLE, (2,))}, x="sum", y=np.float32(1))
    found = observed(tmp_path, made).run({"x": np.array([1.0, 2.0], np.float32)})
    reasons = {item.op.name: item.op.not_comparable for item in found}
    assert "int8" in reasons["q"]
    assert "another scale" in reasons["sum"]
    assert reasons["d"] == reasons["y"] == ""


def test_the_function_is_named_if_there_are_several(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (2,))}, ("y",))
    made.body.op("exp", {"y": (SINGLE, (2,))}, x="x")
    several = Package(write(tmp_path / "several", made, other=made))
    assert "of the function main" in ObservedPackage(several, CONTRACT, 1).how
    assert "function" not in observed(tmp_path, made).how


def test_what_contradicts_the_contract_is_refused(tmp_path: Path) -> None:
    made = Function({"z": (SINGLE, (2,))}, ("y",))
    made.body.op("exp", {"y": (SINGLE, (2,))}, x="z")
    with pytest.raises(ArtifactInvalid, match="contract"):
        observed(tmp_path, made)
