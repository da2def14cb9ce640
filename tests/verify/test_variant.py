"""Verification of a written package: what a run shows and the outputs hide fails the variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec, StateSpec
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.step import StepContext
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.targets import AnyBudget, Budget
from mobilesdk.verify.gates import NON_FINITE_RUNS
from mobilesdk.verify.parity import check_finite
from mobilesdk.verify.record import NO_EVALUATION_SET, Replay, VariantRecord, VerifyConfig
from mobilesdk.verify.replay import replay_goldens
from mobilesdk.verify.variant import verify_artifact
from tests.coreml.programs import Function, Text, ranges, write

CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(4,), dtype="float32"),),
    outputs=(OutputSpec(name="y", shape=(4,), dtype="float32", kind="other"),),
)
SUMMARY = ModelSummary(
    contract=CONTRACT, family="other", weights=(), op_counts={}, float_size_bytes=0
)
SMALL, LARGE = np.full(4, 20, np.float32), np.array([20, 300, 400, 20], np.float32)
SAID = "square squared: 2 of 4 values are not finite"


def package(folder: Path, *, hides: bool = True, masks: bool = False) -> Path:
    """Write a package that squares in float16, where 65,504 is the limit, and clips to 0 … 10.

    Before, it may add a mask of minus infinity to the last element, as attention does.
    """
    made = Function({"x": ("float32", (4,))}, ("y",), pictures={"y": ("float32", (4,))})
    body, half = made.body, ("float16", (4,))
    body.op("cast", {"half": half}, x="x", dtype=Text("fp16"))
    if masks:
        mask = np.array([0, 0, 0, -np.inf], np.float16)
        body.op("add", {"masked": half}, x="half", y=body.const("mask", mask))
        body.op("maximum", {"raised": half}, x="masked", y=np.float16(0))
    body.op("square", {"squared": half}, x="raised" if masks else "half")
    if hides:
        bounds = {"alpha": np.float16(0), "beta": np.float16(10)}
        body.op("clip", {"clipped": half}, x="squared", **bounds)
    body.op(
        "cast", {"y": ("float32", (4,))}, x="clipped" if hides else "squared", dtype=Text("fp32")
    )
    return write(folder / "m.mlpackage", made)


def float_outputs(inputs):
    return np.clip(np.square(np.stack(inputs)), 0, 10)


class Set:
    """An evaluation set."""

    digest = ""

    def __init__(self, samples):
        self._samples = samples

    def __len__(self):
        return len(self._samples)

    def __iter__(self):
        return iter({"x": sample} for sample in self._samples)


@pytest.fixture
def verify(tmp_path):
    def run(*, golden, evaluation=None, **kind) -> VariantRecord:
        reference = tmp_path / "reference"
        reference.mkdir(exist_ok=True)
        save_file({"x": np.stack(golden)}, reference / "golden_inputs.safetensors")
        save_file({"y": float_outputs(golden)}, reference / "golden_outputs.safetensors")
        if evaluation is not None:
            np.save(reference / "reference_0.npy", float_outputs(evaluation))
        verify_artifact(
            package(tmp_path, **kind),
            runtime_name="coreml",
            summary=SUMMARY,
            expectation=None,
            reference=reference,
            evaluation=None if evaluation is None else Set(evaluation),
            config=VerifyConfig(budget=Budget(any=AnyBudget(min_sqnr_db=40.0))),
            context=StepContext(tmp_path),
        )
        return VariantRecord.model_validate_json((tmp_path / "record.json").read_bytes())

    return run


def test_a_hidden_overflow_of_the_evaluation_set_fails_the_variant(verify):
    record = verify(golden=[SMALL], evaluation=[SMALL, LARGE, SMALL])
    passed, failed = record.gates
    assert (passed.name, passed.verdict, record.parity is None) == ("min_sqnr_db", "passed", False)
    assert (failed.name, failed.verdict) == (NON_FINITE_RUNS, "failed")
    assert (failed.value, failed.limit, failed.unit, failed.sample_count) == (1, 0, "runs", 3)
    assert failed.reason.startswith(f"evaluation sample 1: {SAID}")
    assert record.verification == "failed_gate"


def test_a_hidden_overflow_of_the_goldens_fails_a_variant_without_an_evaluation_set(verify):
    record = verify(golden=[SMALL, LARGE])
    asked, failed = record.gates
    assert (asked.verdict, failed.verdict) == ("not_evaluated", "failed")
    assert failed.reason.startswith(f"golden 1: {SAID}")
    assert (record.verification, record.reason) == ("failed_gate", NO_EVALUATION_SET)
    assert record.ran_on == "reference executor on the host's CPU"


def test_finite_runs_have_no_such_gate(verify):
    record = verify(golden=[SMALL], evaluation=[SMALL, SMALL])
    assert [gate.name for gate in record.gates] == ["min_sqnr_db"]
    assert record.verification == "verified_by_reference"


def test_a_mask_of_infinity_is_no_fault_and_hides_none(verify):
    record = verify(golden=[SMALL], masks=True)
    assert (record.gates[1:], record.verification) == ((), "not_evaluated")


def test_an_overflow_beside_a_mask_of_infinity_is_found(verify):
    (_, failed) = verify(golden=[LARGE], masks=True).gates
    assert failed.reason.startswith(f"golden 0: {SAID}")


def test_goldens_alone_verify_nothing(verify):
    record = verify(golden=[SMALL])
    assert [gate.verdict for gate in record.gates] == ["not_evaluated"]
    assert (record.verification, record.ran_on) == ("not_evaluated", "")


@pytest.mark.parametrize(
    ("golden", "evaluation", "run"),
    [([SMALL], [SMALL, LARGE], "evaluation sample 1"), ([SMALL, LARGE], None, "golden 1")],
)
def test_an_output_that_is_not_finite_is_an_error_that_names_the_op(
    verify, golden, evaluation, run
):
    with pytest.raises(ArtifactInvalid, match=f"for sample 1.*{run}: {SAID}"):
        verify(golden=golden, evaluation=evaluation, hides=False)


def test_an_output_may_be_infinite_where_that_of_the_float_model_is():
    infinite, finite = ({"y": np.array([[1.0, last]])} for last in (np.inf, 2.0))
    check_finite(infinite, infinite)
    check_finite(finite, finite)
    with pytest.raises(ArtifactInvalid, match="'y' for sample 0"):
        check_finite(finite, infinite)


@pytest.mark.parametrize(("values", "passes"), [(SMALL, True), (LARGE, False)])
def test_a_replay_of_goldens_that_overflow_fails(verify, tmp_path, values, passes):
    verify(golden=[values])
    expected = tmp_path / "expected.safetensors"
    assert np.isfinite(load_file(expected)["y"]).all()
    replay_goldens(
        "coreml",
        tmp_path / "m.mlpackage",
        CONTRACT,
        inputs=tmp_path / "reference" / "golden_inputs.safetensors",
        expected=expected,
        context=StepContext(tmp_path),
    )
    replay = Replay.model_validate_json((tmp_path / "replay.json").read_bytes())
    assert (replay.sqnr_db, replay.passed) == (float("inf"), passes)
    assert (SAID in str(replay)) is not passes


def summing(folder: Path, *, adds: bool) -> Path:
    """Write a package that adds its inputs up in a state, or writes the last one only."""
    four = ("float32", (4,))
    made = Function({"x": four}, ("y",), states={"total": four}, pictures={"y": four})
    made.body.op("read_state", {"before": four}, input="total")
    made.body.op("add", {"y": four}, x="before", y="x")
    made.body.op("write_state", {}, input="total", data="y" if adds else "x")
    return write(folder / "m.mlpackage", made)


@pytest.mark.parametrize("adds", [True, False])
def test_a_model_with_states_is_judged_over_whole_sequences(tmp_path, adds):
    state = StateSpec(name="total", shape=(4,), dtype="float32")
    contract = CONTRACT.model_copy(update={"states": (state,)})
    samples = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    totals = samples.cumsum(axis=1, dtype=np.float32)
    save_file({"x": samples[:1]}, tmp_path / "golden_inputs.safetensors")
    save_file({"y": totals[:1]}, tmp_path / "golden_outputs.safetensors")
    np.save(tmp_path / "reference_0.npy", totals)
    (tmp_path / "out").mkdir()
    verify_artifact(
        summing(tmp_path, adds=adds),
        runtime_name="coreml",
        summary=SUMMARY.model_copy(update={"contract": contract}),
        expectation=None,
        reference=tmp_path,
        evaluation=Set(samples),
        config=VerifyConfig(budget=Budget(any=AnyBudget(min_sqnr_db=40.0))),
        context=StepContext(tmp_path / "out"),
    )
    record = VariantRecord.model_validate_json((tmp_path / "out/record.json").read_bytes())
    assert record.verification == ("verified_by_reference" if adds else "failed_gate")
    expected = load_file(tmp_path / "out/expected.safetensors")["y"]
    assert expected.shape == (1, 5, 4)
    np.testing.assert_allclose(expected[0, 1], totals[0, 1], rtol=1e-6)


FLEXIBLE = Contract(
    inputs=(InputSpec(name="x", shape=(1, 4), dtype="float32"),),
    outputs=(OutputSpec(name="y", shape=(1, 4), dtype="float32", varying=(1,)),),
    dimensions=(Dimension(name="length", min=2, max=9, axes={"x": 1}),),
)


def doubling(folder: Path, *, allowed: tuple[int, int] = (2, 9), baked: bool = False) -> Path:
    """Write a package that doubles; if it is baked, by half its length: twice at a length of 4."""
    free = ("float32", (1, None))
    made = Function(
        {"x": free}, ("y",), allowed={"x": ranges((1, 1), allowed)}, pictures={"y": free}
    )
    body = made.body
    factor: object = np.float32(2)
    if baked:
        body.op("shape", {"sizes": ("int32", (2,))}, x="x")
        body.op("cast", {"counts": ("float32", (2,))}, x="sizes", dtype=Text("fp32"))
        share = body.const("share", np.array([0, 0.5], np.float32))
        body.op("mul", {"shares": ("float32", (2,))}, x="counts", y=share)
        axes = body.const("axes", np.array([0], np.int32))
        body.op("reduce_sum", {"factor": ("float32", (1,))}, x="shares", axes=axes, keep_dims=True)
        factor = "factor"
    body.op("mul", {"y": free}, x="x", y=factor)
    return write(folder / "m.mlpackage", made)


def verify_flexible(path: Path, folder: Path) -> VariantRecord:
    groups = {"": 4, "length=2/": 2, "length=5/": 5, "length=9/": 9}
    inputs = {
        f"{group}x": np.arange(2 * size, dtype=np.float32).reshape(2, 1, size) + 1
        for group, size in groups.items()
    }
    save_file(inputs, folder / "golden_inputs.safetensors")
    outputs = {name.replace("x", "y"): 2 * values for name, values in inputs.items()}
    save_file(outputs, folder / "golden_outputs.safetensors")
    np.save(folder / "reference_0.npy", outputs["y"])
    (folder / "out").mkdir()
    verify_artifact(
        path,
        runtime_name="coreml",
        summary=SUMMARY.model_copy(update={"contract": FLEXIBLE}),
        expectation=None,
        reference=folder,
        evaluation=Set(inputs["x"]),
        config=VerifyConfig(budget=Budget(any=AnyBudget(min_sqnr_db=40.0))),
        context=StepContext(folder / "out"),
    )
    return VariantRecord.model_validate_json((folder / "out/record.json").read_bytes())


def test_each_size_of_a_dimension_is_judged(tmp_path):
    record = verify_flexible(doubling(tmp_path), tmp_path)
    assert record.sizes == ("length=4", "length=2", "length=5", "length=9")
    assert [(gate.at, gate.verdict) for gate in record.gates] == [
        ("", "passed"),
        *((at, "passed") for at in record.sizes),
    ]
    assert record.verification == "verified_by_reference"
    expected = load_file(tmp_path / "out/expected.safetensors")
    assert expected["length=9/y"].shape == (2, 1, 9)


def test_an_artifact_that_is_right_at_one_size_only_fails(tmp_path):
    record = verify_flexible(doubling(tmp_path, baked=True), tmp_path)
    verdicts = {gate.title: gate.verdict for gate in record.gates}
    assert verdicts["min_sqnr_db of y"] == verdicts["min_sqnr_db of y at length=4"] == "passed"
    assert verdicts["min_sqnr_db of y at length=2"] == "failed"
    assert verdicts["min_sqnr_db of y at length=9"] == "failed"
    assert record.verification == "failed_gate"


@pytest.mark.parametrize("allowed", [(2, 8), (2, 10), (1, 9), (4, 4)])
def test_an_artifact_of_another_range_is_refused_before_it_runs(tmp_path, allowed):
    with pytest.raises(ArtifactInvalid, match=r"\[1, 2…9\] in the contract"):
        verify_flexible(doubling(tmp_path, allowed=allowed), tmp_path)


def test_the_goldens_of_all_sizes_are_replayed(tmp_path):
    verify_flexible(doubling(tmp_path), tmp_path)
    replay_goldens(
        "coreml",
        tmp_path / "m.mlpackage",
        FLEXIBLE,
        inputs=tmp_path / "golden_inputs.safetensors",
        expected=tmp_path / "out/expected.safetensors",
        context=StepContext(tmp_path),
    )
    replay = Replay.model_validate_json((tmp_path / "replay.json").read_bytes())
    assert (replay.sample_count, replay.passed) == (8, True)


def test_a_size_at_which_no_limit_applies_is_not_verified():
    from mobilesdk.verify.gates import judge_sizes
    from mobilesdk.verify.parity import compare

    values = {"y": np.ones((2, 1, 9), np.float32)}
    (gate,) = judge_sizes(Budget(), FLEXIBLE, {"length=9": compare(FLEXIBLE, values, values)})
    assert (gate.at, gate.verdict) == ("length=9", "not_evaluated")
