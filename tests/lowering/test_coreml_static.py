"""Core ML with static int8 activations: which ops take integers, over which ranges, how well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.ledger import Expectation
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import Operation
from mobilesdk.numerics.metrics import sqnr_db
from mobilesdk.numerics.ranges import grid_without_zero_point
from mobilesdk.plugins import runtime
from mobilesdk.verify.ledger import build_ledger

from . import coreml_static_worker as worker

ROOT = Path(__file__).parents[2]


def run_worker(folder: Path, hash_seed: str, *names: str) -> Path:
    script = Path(__file__).with_name("coreml_static_worker.py")
    environment = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *names],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_worker(tmp_path_factory.mktemp("static"), "1")


def read(exported: Path, name: str) -> tuple[Expectation, ArtifactInfo]:
    output = exported / name / "output"
    expectation = Expectation.model_validate_json((output / "expectation.json").read_bytes())
    return expectation, runtime("coreml").inspect(output / "model.mlpackage")


def operations(exported: Path, name: str) -> tuple[dict[str, Operation], Package]:
    """Give the operations of a package by the name of what they give."""
    package = Package(exported / name / "output" / "model.mlpackage")
    found = package.model.program.functions["main"].block.operations
    return {op.outputs[0].name: op for op in found if op.outputs}, package


def argument(exported: Path, name: str, op: Operation, parameter: str) -> float:
    by_result, _ = operations(exported, name)
    binding = op.inputs[parameter][0]
    value: Any = by_result[binding].attributes["val"] if isinstance(binding, str) else binding
    return float(value.content)


def types(info: ArtifactInfo, *dtypes: str) -> list[str]:
    conversions = ("quantize", "dequantize", "cast")
    return [op.type for op in info.ops if op.dtype in dtypes and op.type not in conversions]


GOOD = ["convolutions", "first_is_largest", "percentile", "float32", "one_float", "products"]


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_the_file_has_the_integers_that_were_planned_and_computes_the_same(
    name: str, exported: Path
) -> None:
    expectation, info = read(exported, name)
    assert info.problems == ()
    assert build_ledger(expectation, info).different == ()
    assert {w.scheme.bits for w in info.weights if w.scheme.encoding == "linear"} == {8}
    session = runtime("coreml").load(
        exported / name / "output" / "model.mlpackage", contract(exported, name), 1
    )
    with np.load(exported / name / "reference.npz") as reference:
        wanted = np.stack([reference[key] for key in reference.files])
    found = np.stack([session.run(sample)["y"] for sample in worker.SCENARIOS[name][1]])
    assert sqnr_db(wanted, found) > 28


def contract(exported: Path, name: str) -> Any:
    from mobilesdk.core.model import ModelSummary

    return ModelSummary.model_validate_json(
        (exported / name / "summary.json").read_bytes()
    ).contract


@pytest.mark.slow
def test_convolutions_products_sums_and_pools_take_integers_and_nothing_else(
    exported: Path,
) -> None:
    _, info = read(exported, "convolutions")
    integers = ["conv", "relu6", "conv", "add", "max_pool", "conv", "conv", "avg_pool", "linear"]
    assert types(info, "int8", "uint8") == integers
    floats = ["silu", "clip", "concat", "conv_transpose", "add", "reshape"]
    assert types(info, "float16") == floats
    assert types(read(exported, "float32")[1], "int8", "uint8") == integers
    assert types(read(exported, "one_float")[1], "int8", "uint8") == integers[:-1]
    products = types(read(exported, "products")[1], "int8", "uint8")
    assert products == ["add", "linear", "linear", "matmul"]


@pytest.mark.slow
def test_every_operation_that_stays_float_has_its_reason(exported: Path) -> None:
    for name, words in {
        "convolutions": {"silu": "Core ML has 8-bit activations for", "add": "is a constant"},
        "one_float": {"linear": "its weight is not stored in 8 bits"},
        "products": {"add": "no activations", "softmax": "Core ML has 8-bit activations for"},
    }.items():
        expectation, info = read(exported, name)
        entries = {e.name: e for e in build_ledger(expectation, info).entries if e.kind == "op"}
        floats = [op for op in info.ops if op.dtype not in ("int8", "uint8")]
        assert {op.name for op in floats} == set(expectation.float_ops)
        assert all(entries[f"{op.name} ({op.type})"].status == "as_planned" for op in floats)
        for op_type, reason in words.items():
            assert any(
                reason in expectation.float_ops[op.name] for op in floats if op.type == op_type
            )


@pytest.mark.slow
def test_a_constant_that_became_part_of_a_bias_has_its_line(exported: Path) -> None:
    expectation, info = read(exported, "convolutions")
    assert [item.name for item in expectation.weights if item.merged] == ["shift"]
    (line,) = [e for e in build_ledger(expectation, info).entries if e.name == "shift"]
    assert (line.status, line.applied) == ("as_planned", "part of another constant")
    assert "the converter has merged it with others" in line.reason


@pytest.mark.slow
def test_a_file_without_the_integers_is_told_from_the_plan(exported: Path) -> None:
    expectation, info = read(exported, "convolutions")
    floats = info.model_copy(
        update={
            "ops": tuple(
                op.model_copy(update={"dtype": "float16"}) if op.type == "conv" else op
                for op in info.ops
            )
        }
    )
    different = build_ledger(expectation, floats).different
    assert len(different) == 4
    assert {entry.reason for entry in different} == {"computes in floating point"}
    unstated = expectation.model_copy(update={"float_ops": {}})
    assert build_ledger(unstated, info).different


@pytest.mark.slow
def test_no_rounding_stands_between_a_convolution_and_its_clamp(exported: Path) -> None:
    by_result, _ = operations(exported, "convolutions")
    clamps = [op for op in by_result.values() if op.type in ("relu6", "clip")]
    assert [op.type for op in clamps] == ["relu6", "clip"]
    for clamp in clamps:
        assert by_result[str(clamp.inputs["x"][0])].type == "conv"
    rounded = {str(op.inputs["input"][0]): op for op in by_result.values() if op.type == "quantize"}
    six, one = (rounded[clamp.outputs[0].name] for clamp in clamps)
    assert argument(exported, "convolutions", six, "scale") <= 6 / 255 * 1.001
    assert argument(exported, "convolutions", one, "scale") <= 1 / 127 * 1.001


@pytest.mark.slow
def test_pads_are_part_of_the_convolutions_behind_them(exported: Path) -> None:
    by_result, _ = operations(exported, "convolutions")
    assert "pad" not in {op.type for op in by_result.values()}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "largest"), [("convolutions", 1.0), ("first_is_largest", 4.0)])
def test_ranges_are_those_of_all_samples_not_of_the_last(
    name: str, largest: float, exported: Path
) -> None:
    by_result, _ = operations(exported, name)
    (of_input,) = [
        op
        for op in by_result.values()
        if op.type == "quantize" and by_result[str(op.inputs["input"][0])].type == "cast"
    ]
    samples = list(worker.SCENARIOS[name][1])
    assert float(np.abs(samples[-1]["image"]).max()) == pytest.approx(1.0)
    assert argument(exported, name, of_input, "scale") == pytest.approx(largest / 127.5, rel=0.01)


@pytest.mark.slow
def test_what_a_maximum_pool_moves_keeps_its_range(exported: Path) -> None:
    by_result, _ = operations(exported, "convolutions")
    (pool,) = [op for op in by_result.values() if op.type == "max_pool"]
    before = by_result[str(pool.inputs["x"][0])]
    (after,) = [
        op
        for op in by_result.values()
        if op.type == "quantize" and op.inputs["input"][0] == pool.outputs[0].name
    ]
    scales = {argument(exported, "convolutions", op, "scale") for op in (before, after)}
    assert len(scales) == 1


@pytest.mark.slow
def test_what_cannot_have_ranges_or_integers_is_refused(exported: Path) -> None:
    errors = json.loads((exported / "errors.json").read_text())
    assert set(errors) == {"no_samples", "no_integers"}
    assert "need calibration samples" in errors["no_samples"]["message"]
    assert "no operation of the model takes integers" in errors["no_integers"]["message"]


@pytest.mark.slow
def test_another_hash_seed_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    run_worker(tmp_path, "77", "convolutions")
    first, second = (
        {
            path.relative_to(root): path.read_bytes()
            for path in (root / "convolutions" / "output").rglob("*")
            if path.is_file()
        }
        for root in (exported, tmp_path)
    )
    assert len(first) == 4
    assert first == second


finite = st.floats(-60000, 60000, width=32)


@given(finite, finite, st.floats(0, 1))
def test_a_grid_holds_zero_and_every_value_of_its_range_to_half_a_step(
    one: float, other: float, place: float
) -> None:
    low, high = min(one, other), max(one, other)
    scale, element = grid_without_zero_point(low, high)
    smallest, largest = (0, 255) if element == "uint8" else (-128, 127)
    value = max(low, 0) * (1 - place) + high * place if low >= 0 else low + place * (high - low)
    code = np.clip(np.rint(value / scale), smallest, largest)
    assert abs(code * scale - value) <= 0.502 * scale
    assert np.float16(scale) > 0


@pytest.mark.parametrize(
    ("low", "high", "scale", "element"),
    [
        (0.0, 6.0, 6 / 255, "uint8"),
        (1.0, 2.55, 0.01, "uint8"),
        (-1.28, 1.0, 0.01, "int8"),
        (-1.0, 1.27, 0.01, "int8"),
        (0.0, 0.0, 1.0, "uint8"),
        (0.0, 1e-8, 2.0**-24, "uint8"),
    ],
)
def test_a_grid_uses_all_levels_that_a_zero_point_of_zero_leaves(
    low: float, high: float, scale: float, element: str
) -> None:
    assert grid_without_zero_point(low, high) == (pytest.approx(scale), element)
