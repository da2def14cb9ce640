"""The Core ML runtime: packages are executed by reference, as the contract says or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.errors import ArtifactInvalid, FileRejected, UnsupportedProgram
from mobilesdk.plugins import runtime
from tests.coreml.programs import Function, Text, write

PLUGIN = runtime("coreml")
HALF, WHOLE = "float16", "int32"
CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(2,), dtype="float32"),),
    outputs=(OutputSpec(name="y", shape=(2,), dtype="float32", kind="other"),),
)


def package(root: Path, kind: str = "square", **arguments: Any) -> Path:
    made = Function({"x": ("float32", (2,))}, ("y",))
    given: dict[str, Any] = {"x": "x"} | arguments
    made.body.op(kind, {"y": ("float32", (2,))}, **given)
    return write(root / "m.mlpackage", made)


def changed(side: str, **fields: Any) -> Contract:
    (spec,) = getattr(CONTRACT, side)
    return CONTRACT.model_copy(update={side: (spec.model_copy(update=fields),)})


def test_a_package_is_run_by_the_reference(tmp_path: Path) -> None:
    path = package(tmp_path)
    info = PLUGIN.inspect(path)
    assert PLUGIN.refuses(info) == ""
    assert PLUGIN.executes_by(info) == "reference"
    session = PLUGIN.load(path, CONTRACT, 1)
    found = session.run({"x": np.array([2, 3], np.float32)})
    assert_array_equal(found["y"], [4, 9])
    assert session.findings() == ()


def test_findings_name_the_operation_that_overflowed(tmp_path: Path) -> None:
    session = PLUGIN.load(package(tmp_path), CONTRACT, 1)
    found = session.run({"x": np.array([2, 1e30], np.float32)})
    assert np.isinf(found["y"][1])
    (finding,) = session.findings()
    assert finding.startswith("square y: 1 of 2 values are not finite")


def test_an_infinite_mask_is_no_finding(tmp_path: Path) -> None:
    mask = np.array([0, -np.inf], np.float32)
    session = PLUGIN.load(package(tmp_path, "add", y=mask), CONTRACT, 1)
    assert_array_equal(session.run({"x": np.array([2, 3], np.float32)})["y"], [2, -np.inf])
    assert session.findings() == ()


def test_types_are_those_of_the_contract(tmp_path: Path) -> None:
    made = Function({"x": (WHOLE, (2,))}, ("y",))
    made.body.op("identity", {"y": (WHOLE, (2,))}, x="x")
    contract = Contract(
        inputs=(InputSpec(name="x", shape=(2,), dtype="int64"),),
        outputs=(OutputSpec(name="y", shape=(2,), dtype="int64", kind="other"),),
    )
    session = PLUGIN.load(write(tmp_path / "m.mlpackage", made), contract, 1)
    found = session.run({"x": np.array([1, -2])})["y"]
    assert found.dtype == np.int64
    assert_array_equal(found, [1, -2])
    with pytest.raises(ArtifactInvalid, match="do not fit int32"):
        session.run({"x": np.array([1 << 40, 0])})


def test_every_run_starts_a_sequence_of_its_own(tmp_path: Path) -> None:
    made = Function({"x": ("float32", (2,))}, ("y",), states={"total": (HALF, (2,))})
    made.body.op("read_state", {"old": (HALF, (2,))}, input="total")
    made.body.op("cast", {"x_half": (HALF, (2,))}, x="x", dtype=Text("fp16"))
    made.body.op("add", {"new": (HALF, (2,))}, x="old", y="x_half")
    made.body.op("write_state", {}, input="total", data="new")
    made.body.op("cast", {"y": ("float32", (2,))}, x="new", dtype=Text("fp32"))
    path = write(tmp_path / "m.mlpackage", made)
    session = PLUGIN.load(path, CONTRACT, 1)
    x = np.array([2, 3], np.float32)
    for _ in range(2):
        assert_array_equal(session.run({"x": x})["y"], x)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_other_names_are_refused(tmp_path: Path, side: str) -> None:
    with pytest.raises(ArtifactInvalid, match=side):
        PLUGIN.load(package(tmp_path), changed(side, name="other"), 1)


@pytest.mark.parametrize("fields", [{"shape": (3,)}, {"dtype": "int32"}])
def test_other_outputs_are_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    session = PLUGIN.load(package(tmp_path), changed("outputs", **fields), 1)
    with pytest.raises(ArtifactInvalid, match="Output 'y' came as"):
        session.run({"x": np.zeros(2, np.float32)})


def test_unknown_operations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedProgram, match="operation warp"):
        PLUGIN.load(package(tmp_path, "warp"), CONTRACT, 1)


def test_random_operations_are_unverifiable(tmp_path: Path) -> None:
    made = Function({"x": ("float32", (2,))}, ("y",))
    made.body.op("random_uniform", {"r": ("float32", (2,))}, shape=np.array([2], np.int32))
    made.body.op("add", {"y": ("float32", (2,))}, x="x", y="r")
    info = PLUGIN.inspect(write(tmp_path / "m.mlpackage", made))
    assert info.unverifiable == ("random_uniform: the device draws its own random numbers",)
    assert "random_uniform" in PLUGIN.refuses(info)


def test_junk_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "m.mlpackage"
    path.mkdir()
    (path / "Manifest.json").write_bytes(b"\0\0\0")
    with pytest.raises(FileRejected):
        PLUGIN.inspect(path)
