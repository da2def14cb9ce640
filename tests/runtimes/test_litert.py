"""The LiteRT runtime: names by order, dtypes, scales, and files that it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mobilesdk.core.artifact import ArtifactInfo, FunctionInfo, OpInfo
from mobilesdk.runtimes.litert import PLUGIN


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the small files in a process of its own: LiteRT must not meet coremltools in one."""
    folder = tmp_path_factory.mktemp("litert")
    command = [sys.executable, "-m", "tests.runtimes.litert_run", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "results.json").read_text())


def test_outputs_have_the_names_of_the_contract(results: dict[str, Any]) -> None:
    assert results["dense"] == {"logits": {"values": [[-1, -1, -1]], "dtype": "float32"}}


def test_names_of_the_signature_are_taken_by_their_number(results: dict[str, Any]) -> None:
    found = {name: output["values"] for name, output in results["eleven"].items()}

    assert found == {f"out{number}": [-number] for number in range(11)}


def test_ids_are_narrowed_and_widened(results: dict[str, Any]) -> None:
    assert results["ids"] == {"y": {"values": [[9, 16]], "dtype": "int64"}}


def test_integer_borders_are_converted_by_the_scales_of_the_file(results: dict[str, Any]) -> None:
    # int8 with scale 0.5 and zero point 10 holds -69 … 58.5: ±1000 saturate there.
    assert results["integers"] == {"y": {"values": [[117, -125]], "dtype": "float32"}}


@pytest.mark.parametrize(("name", "count"), [("one_row", 1), ("three_rows", 3)])
def test_a_run_takes_the_signature_with_the_shapes_of_its_inputs(
    results: dict[str, Any], name: str, count: int
) -> None:
    assert results[name]["y"]["values"] == [[-1, -1, -1]] * count


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("large_ids", "int32"),
        ("unscaled", "no scale"),
        ("shape", "shape [1, 2]"),
        ("two_rows", "no signature for inputs of shape [2, 2]"),
        ("signature_missing", "the contract of shape [1, 2] or of shape [3, 2]"),
        ("signature_too_many", "shape [1, 2] or of shape [2, 2] or of shape [3, 2], the contract"),
        ("count", "has 1 inputs, the contract 2"),
        ("damaged", "does not load"),
    ],
)
def test_what_does_not_fit_is_an_invalid_artifact(
    results: dict[str, Any], name: str, word: str
) -> None:
    error = results[name]["error"]

    assert error["code"] == "artifact-invalid"
    assert word in error["message"]


def test_signatures_that_are_not_sizes_of_one_interface_are_not_run() -> None:
    other = FunctionInfo(name="decode", inputs=(), outputs=())
    info = ArtifactInfo(
        format="litert",
        size_bytes=0,
        inputs=(),
        outputs=(),
        function="encode",
        other_functions=(other,),
        weights=(),
        ops=(),
    )

    assert "encode, decode" in PLUGIN.refuses(info)


@pytest.mark.parametrize(
    ("types", "named"),
    [
        (["CONV_2D", "DEQUANTIZE"], []),
        (["CONV_2D", "CUSTOM:DISPATCH_OP", "UNKNOWN_300"], ["CUSTOM:DISPATCH_OP", "UNKNOWN_300"]),
    ],
)
def test_ops_without_a_kernel_are_named(types: list[str], named: list[str]) -> None:
    info = ArtifactInfo(
        format="litert",
        size_bytes=0,
        inputs=(),
        outputs=(),
        weights=(),
        ops=tuple(OpInfo(name="", type=kind, dtype="float32") for kind in types),
    )
    reason = PLUGIN.refuses(info)

    assert bool(reason) is bool(named)
    assert all(kind in reason for kind in named)
