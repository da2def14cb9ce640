"""Small models through the exporter, and what the written packages hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract, DType, InputSpec, StateSpec
from mobilesdk.core.form import Needs
from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.scheme import ActivationScheme, Request, WeightScheme
from mobilesdk.coreml import load
from mobilesdk.errors import StepFailed
from mobilesdk.numerics.metrics import sqnr_db
from mobilesdk.plugins import exporter, runtime
from mobilesdk.verify.ledger import build_ledger
from tests.exporters.coreml_worker import Rescaled

PLUGIN = exporter("coreml")
ROOT = Path(__file__).parents[2]
SCHEMES = {
    "plain": {"stem": "float16", "large": "float16", "table": "float16"},
    "plain_ios15": {"large": "float16"},
    "plain_float32": {"large": "float32"},
    "half_weights": {"large": "float16", "offset": "float16"},
    "int8": {
        "stem": "float16",  # below the minimum of elements
        "depthwise": "int8/channel",
        "odd": "int8/channel",
        "up": "int8/channel",
        "large": "int8/channel",
        "table": "int8/channel",
        "offset": "float16",  # no weight of a layer
    },
    "int8_ios16": {"up": "int8/channel", "large": "int8/channel"},
    "int4_block16": {
        "depthwise": "int8/channel",
        "odd": "int4/block16",
        "up": "int4/block11",
        "large": "int4/block16",
    },
    "palette6_ios17": {"large": "palette6/tensor"},
    "palette4_group16": {"odd": "palette4/group11", "large": "palette4/group15"},
    "palette4_int8_tables": {"large": "palette4-int8/group15", "table": "palette4-int8/group10"},
    "palette4_channel": {"odd": "palette4-int8/channel", "up": "palette4-int8/channel"},
    "sparse_palette4_int8_tables": {"large": "palette4-int8/group15 sparse50%"},
    "sparse": {"large": "float16 sparse50%", "depthwise": "float16"},
    "sparse_ios16": {"large": "float16 sparse50%"},
    "sparse_int8": {"large": "int8/channel sparse50%", "depthwise": "int8/channel"},
    "sparse_palette4": {"large": "palette4/group15 sparse50%"},
    "two_of_four_int8": {"large": "int8/channel sparse2:4", "depthwise": "int8/channel"},
    "two_of_four_ios16": {"large": "float16 sparse2:4", "up": "float16 sparse2:4"},
    "blocks_palette4": {
        "large": "palette4/group15 sparse50%/block4",
        "up": "palette4/group16 sparse50%/block4",
    },
    "int8_float32": {"large": "int8/channel"},
}


def run_worker(folder: Path, today: str, hash_seed: str, *names: str) -> dict[str, Any]:
    script = Path(__file__).with_name("coreml_worker.py")
    environment = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script), str(folder), today, *names],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    run_worker(folder, "2026-01-02", "1")
    return folder


def read(exported: Path, name: str) -> tuple[Expectation, ArtifactInfo]:
    output = exported / name / "output"
    expectation = Expectation.model_validate_json((output / "expectation.json").read_bytes())
    return expectation, runtime("coreml").inspect(output / "model.mlpackage")


def expected(expectation: Expectation, name: str) -> ExpectedWeight:
    return next(item for item in expectation.weights if item.name.startswith(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMES)
def test_every_weight_is_stored_as_planned(name: str, exported: Path) -> None:
    expectation, info = read(exported, name)
    assert info.problems == ()
    assert build_ledger(expectation, info).different == ()
    by_name = {weight.name: weight for weight in info.weights}
    for weight, scheme in SCHEMES[name].items():
        item = expected(expectation, weight)
        found = by_name[item.artifact_name].scheme
        rounded = found.model_copy(update={"sparsity": round(found.sparsity, 1)})
        assert str(rounded) == scheme
        assert item.fingerprint.distance(by_name[item.artifact_name].fingerprint) < 2e-3
    assert all(item.artifact_name for item in expectation.weights)


@pytest.mark.slow
def test_activations_are_requested_as_the_record_says_and_planned_as_the_option_does(
    exported: Path,
) -> None:
    expectation, info = read(exported, next(iter(SCHEMES)))
    assert expectation.activations == ActivationScheme()
    assert expectation.planned_activations == ActivationScheme(bits=16)
    ops = [entry for entry in build_ledger(expectation, info).entries if entry.kind == "op"]
    assert {entry.requested for entry in ops} == {"float32"}
    assert {entry.status for entry in ops} == {"as_planned"}
    assert all(entry.reason for entry in ops)


@pytest.mark.slow
def test_every_difference_from_the_request_has_its_reason(exported: Path) -> None:
    for name in SCHEMES:
        for item in read(exported, name)[0].weights:
            assert bool(item.reason) == (item.requested != item.planned), (name, item.name)


@pytest.mark.slow
def test_inputs_and_outputs_are_the_contracts(exported: Path) -> None:
    _, info = read(exported, "int8")
    assert [(item.name, item.shape, item.dtype) for item in info.inputs] == [
        ("in_0", (1, 3, 18, 18), "float32"),
        ("in_1", (1, 6), "int32"),
    ]
    assert [(item.name, item.shape, item.dtype) for item in info.outputs] == [
        ("out_0", (1, 2100), "float32"),
        ("out_1", (1, 6, 32), "float32"),
    ]
    systems = {read(exported, name)[1].minimum_os for name in ("plain_ios15", "int8_ios16")}
    assert systems == {"iOS 15", "iOS 16"}


@pytest.mark.slow
def test_pruning_zeroes_weights_above_65504_elements_too(exported: Path) -> None:
    expectation, info = read(exported, "sparse")
    large = expected(expectation, "large")
    assert large.fingerprint.elements > 65_504
    (weight,) = [item for item in info.weights if item.name == large.artifact_name]
    assert weight.scheme.sparsity == pytest.approx(0.5, abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("scaled", "ConversionFailed", ["is not finite in float16", "keep constants within 65504"]),
        ("antialias", "ConversionFailed", ["_upsample_bilinear2d_aa", "drops antialias=True"]),
        ("tanh_gelu", "ConversionFailed", ["gelu", "by the exact one"]),
        ("bicubic", "ConversionFailed", ["upsample_bicubic2d", "use mode='bilinear'"]),
        ("off_grid", "CompressionIncomplete", ["weight cannot be stored as int4", "off their"]),
        ("no_weight", "CompressionIncomplete", ["offset", "no weight of a layer: add"]),
    ],
)
def test_what_would_go_wrong_silently_is_refused(
    name: str, error: str, words: list[str], exported: Path
) -> None:
    raised = json.loads((exported / "result.json").read_text())["errors"][name]
    assert raised["type"] == error
    for word in words:
        assert word in raised["message"] + raised["hint"]
    assert not list((exported / name / "output").iterdir())


@pytest.mark.slow
def test_nothing_else_failed_and_clashing_packages_stayed_out(exported: Path) -> None:
    result = json.loads((exported / "result.json").read_text())
    refused = {"scaled", "antialias", "tanh_gelu", "bicubic", "off_grid", "no_weight"}
    assert set(result["errors"]) == refused
    assert result["hidden"] == {"tensorflow": True, "executorch": True}


@pytest.mark.slow
def test_a_mask_may_become_minus_infinity_and_hides_what_it_hid(exported: Path) -> None:
    package = exported / "mask" / "output" / "model.mlpackage"
    _, info = read(exported, "mask")
    assert info.problems == ()
    assert any("masks and bounds may be" in remark for remark in info.remarks)
    (output,) = load(package).predict({"in_0": np.zeros((1, 8), np.float32)}).values()
    expected_rows = np.tril(np.ones((8, 8))) / np.arange(1, 9)[:, None]
    np.testing.assert_allclose(output, expected_rows, atol=1e-3)


@pytest.mark.slow
def test_values_beyond_float16_stay_in_float32(exported: Path) -> None:
    expectation, info = read(exported, "overflow")
    assert str(info.weights[0].scheme) == "float32"
    assert build_ledger(expectation, info).different == ()


@pytest.mark.slow
def test_scales_and_shifts_of_channels_get_no_epsilon(exported: Path) -> None:
    image = torch.randn(1, 3, 13, 13, generator=torch.Generator().manual_seed(0))
    package = load(exported / "rescaled/output/model.mlpackage")
    (found,) = package.predict({"in_0": image.numpy()}).values()
    assert sqnr_db(Rescaled()(image).numpy(), found) > 130  # 86 with the pass that is left out


@pytest.mark.slow
def test_a_cure_is_recorded(exported: Path) -> None:
    notes = json.loads((exported / "recurrent/output/expectation.json").read_text())["notes"]
    assert notes == ["Core ML: an LSTM decomposed by torch; recurrent layers are unrolled in time."]
    assert json.loads((exported / "plain/output/expectation.json").read_text())["notes"] == []


@pytest.mark.slow
def test_another_day_and_hash_seed_give_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    names = ("plain", "sparse_palette4", "int4_block16")
    run_worker(tmp_path, "2031-05-06", "77", *names)
    for name in names:
        first, second = (
            {
                path.relative_to(root): path.read_bytes()
                for path in root.rglob("*")
                if path.is_file()
            }
            for root in (exported / name / "output", tmp_path / name / "output")
        )
        assert len(first) == 4
        assert first == second


def summary(dtype: DType = "float32") -> ModelSummary:
    contract = Contract(inputs=(InputSpec(name="x", shape=(1, 8), dtype=dtype),), outputs=())
    return ModelSummary(
        contract=contract, family="other", weights=(), op_counts={}, float_size_bytes=0
    )


def refuse(request: Request, dtype: DType = "float32", **options: Any) -> list[str]:
    return PLUGIN.refuse(PLUGIN.options(**options), request, summary(dtype))


INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_channel")
HALF = WeightScheme(bits=16)
STATIC = Request(activations=ActivationScheme(mode="static", bits=8))


@pytest.mark.parametrize(
    ("request_", "options", "reason"),
    [
        (Request(weights={"conv": INT4}), {"deployment_target": "iOS17"}, "need iOS18 or later"),
        (Request(weights={"conv": INT4}), {}, ""),
        (STATIC, {}, ""),
        (STATIC, {"deployment_target": "iOS17", "compute_precision": "float32"}, ""),
        (STATIC, {"deployment_target": "iOS16"}, "need iOS17 or later"),
        (
            Request(weights={"conv": INT4, "linear": INT4}, activations=STATIC.activations),
            {},
            "go with int8 weights, not with int4/channel ones",
        ),
        (
            Request(
                weights={"conv": INT4.model_copy(update={"bits": 8}), "linear": INT4},
                activations=STATIC.activations,
            ),
            {},
            "",
        ),
        (
            Request(activations=ActivationScheme(mode="static", bits=16)),
            {},
            "no static int16 ones",
        ),
        (
            Request(activations=ActivationScheme(mode="dynamic", bits=8)),
            {},
            "no dynamic int8 ones",
        ),
        (
            Request(activations=ActivationScheme(bits=16)),
            {"compute_precision": "float32"},
            "float16 activations are asked for",
        ),
        (Request(weights={"conv": HALF}), {}, "float32 activations are asked for"),
        (
            Request(weights={"conv": HALF}),
            {"compute_precision": "float32", "deployment_target": "iOS15"},
            "need iOS16",
        ),
        (Request(activations=ActivationScheme(bits=16)), {}, ""),
    ],
)
def test_what_cannot_be_stored_is_refused_while_planning(
    request_: Request, options: dict[str, Any], reason: str
) -> None:
    reasons = refuse(request_, **options)
    assert (reason in reasons[0]) if reason else not reasons


def test_input_types_that_core_ml_lacks_are_refused_while_planning() -> None:
    assert "'x' is bool" in refuse(Request(), "bool")[0]
    assert "needs iOS16" in refuse(Request(), "float16", deployment_target="iOS15")[0]
    assert refuse(Request(), "int64") == []


def test_states_need_ios_18_and_are_floats() -> None:
    def refused(dtype: DType, **options: Any) -> list[str]:
        state = StateSpec(name="cache", shape=(1, 4), dtype=dtype)
        stateless = summary("float32")
        contract = stateless.contract.model_copy(update={"states": (state,)})
        stateful = stateless.model_copy(update={"contract": contract})
        return PLUGIN.refuse(PLUGIN.options(**options), Request(), stateful)

    assert refused("float32") == []
    assert "states (cache), which need iOS18" in refused("float32", deployment_target="iOS17")[0]
    assert "'cache' is int64, and states are float16" in refused("int64")[0]


def test_it_needs_data_for_fixed_ranges_only() -> None:
    assert PLUGIN.needs(Request()) is Needs.NONE
    assert PLUGIN.needs(STATIC) is Needs.CALIBRATION


def test_a_process_with_tensorflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from mobilesdk.lowering.coreml.convert import import_coremltools

    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    with pytest.raises(StepFailed, match="has imported TensorFlow"):
        import_coremltools()
    with pytest.raises(StepFailed, match="TensorFlow"):
        import_coremltools(beside_executorch=True)
