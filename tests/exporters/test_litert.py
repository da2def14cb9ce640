"""The LiteRT exporter, on tiny models that a process of its own exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.form import Needs
from mobilesdk.core.ledger import Ledger
from mobilesdk.core.model import ModelSummary, ModelWeight
from mobilesdk.core.scheme import ActivationScheme, Request, WeightScheme
from mobilesdk.errors import DelegationRefused
from mobilesdk.exporters.litert import PLUGIN, LiteRTOptions, require_op_set
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.lowering.litert.recipe import OpSet
from mobilesdk.verify.ledger import build_ledger
from tests.exporters.exported import check_refusal, expectation_of, export, worst_sqnr_db
from tests.flatbuffers.tflite_files import File

REPEATED = ["two_static", "text_blocks"]
# Case → least SQNR in dB of the file against the compressed program, over two samples.
EXPORTED = {
    "float": 90,
    "half": 60,
    "weights8": 90,
    "weights4": 90,
    "mixed": 30,
    "static": 25,
    "static_partial": 25,
    "static16": 45,
    "static_int_io": 25,
    "pre_activation": 35,
    "two_static": 25,
    "text_blocks": 30,
    "text_nnapi": 15,
    "nearest": 90,
    "transposed": 90,
    "pooled": 90,
    "pooled_static": 30,
    "used_sum": 25,
    "used_linear": 25,
    "used_convolution": 25,
    "lengths": 30,
    "lengths_static": 20,
}
REFUSED = {
    "antialias": ("conversion-failed", "antialiasing"),
    "mutable": ("conversion-failed", "count"),
    "nearest_nnapi": ("delegation-refused", "GATHER_ND"),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [*EXPORTED, *REFUSED]
    return export("litert_cases", tmp_path_factory.mktemp("litert"), names, "1")


def info_of(exported: Path, name: str) -> ArtifactInfo:
    return inspect_tflite(exported / name / "model.tflite")


def ledger_of(exported: Path, name: str) -> Ledger:
    return build_ledger(expectation_of(exported, name), info_of(exported, name))


@pytest.mark.parametrize("name", EXPORTED)
def test_the_file_holds_what_was_planned(exported: Path, name: str) -> None:
    assert [
        entry for entry in ledger_of(exported, name).entries if entry.status == "different"
    ] == []
    assert info_of(exported, name).problems == ()


@pytest.mark.parametrize("name", EXPORTED)
def test_the_file_computes_what_the_program_computes(exported: Path, name: str) -> None:
    assert worst_sqnr_db(exported / name) > EXPORTED[name]


@pytest.mark.parametrize("name", EXPORTED)
def test_every_weight_is_found_by_its_name(exported: Path, name: str) -> None:
    names = {weight.name for weight in info_of(exported, name).weights}

    for weight in expectation_of(exported, name).weights:
        assert weight.artifact_name in names


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_go_wrong_is_refused(exported: Path, name: str) -> None:
    check_refusal(exported, name, *REFUSED[name])


def test_two_processes_write_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = export("litert_cases", tmp_path, REPEATED, "2")

    for name in REPEATED:
        for file in ("model.tflite", "expectation.json"):
            assert (exported / name / file).read_bytes() == (again / name / file).read_bytes()


def test_a_static_file_computes_in_integers_between_its_borders(exported: Path) -> None:
    ops = info_of(exported, "static").ops

    assert {op.type for op in ops if op.dtype == "float32"} == {"DEQUANTIZE"}
    assert sum(op.type == "DEQUANTIZE" for op in ops) == 1
    assert "RELU6" not in {op.type for op in ops}


def test_integer_inputs_and_outputs_leave_no_float_op(exported: Path) -> None:
    info = info_of(exported, "static_int_io")

    assert {op.dtype for op in info.ops} == {"int8"}
    assert (info.inputs[0].dtype, info.outputs[0].dtype) == ("int8", "int8")


def test_division_stays_float_with_its_reason(exported: Path) -> None:
    types = {op.type: op.dtype for op in info_of(exported, "two_static").ops}

    assert types["DIV"] == "float32"
    assert types["FULLY_CONNECTED"] == "int8"
    assert "round to 0" in expectation_of(exported, "two_static").float_op_types["DIV"]


def test_a_weight_that_stays_float_shows_in_the_inspection(exported: Path) -> None:
    dtypes = {op.type: op.dtype for op in info_of(exported, "static_partial").ops}
    reasons = expectation_of(exported, "static_partial").float_op_types

    assert (dtypes["CONV_2D"], dtypes["DEPTHWISE_CONV_2D"]) == ("int8", "float32")
    assert reasons["DEPTHWISE_CONV_2D"] == "its weight stays float"


def test_the_ledger_sees_a_float_op_without_a_reason(exported: Path) -> None:
    expectation = expectation_of(exported, "static_partial")
    silent = expectation.model_copy(update={"float_op_types": {}})
    ledger = build_ledger(silent, info_of(exported, "static_partial"))

    assert "op" in {entry.kind for entry in ledger.different}


def test_the_ledger_sees_a_scaled_weight(exported: Path) -> None:
    info = info_of(exported, "weights8")
    first = info.weights[0]
    scaled = first.fingerprint.model_copy(update={"abs_sum": first.fingerprint.abs_sum * 1.01})
    weights = (first.model_copy(update={"fingerprint": scaled}), *info.weights[1:])
    ledger = build_ledger(
        expectation_of(exported, "weights8"), info.model_copy(update={"weights": weights})
    )

    assert len(ledger.different) >= 1


def test_nnapi_keeps_what_it_has_for_float_only(exported: Path) -> None:
    dtypes = {op.type: op.dtype for op in info_of(exported, "text_nnapi").ops}

    assert (dtypes["FULLY_CONNECTED"], dtypes["RSQRT"]) == ("int8", "float32")
    assert expectation_of(exported, "text_nnapi").float_op_types["RSQRT"]


def test_a_norm_is_not_folded_into_the_next_layer(exported: Path) -> None:
    reasons = {
        weight.name: weight.reason for weight in expectation_of(exported, "text_blocks").weights
    }

    assert "folded" not in " ".join(reasons.values())
    assert any(" + " in name for name in reasons)


@pytest.mark.parametrize("name", ["lengths", "lengths_static"])
def test_signatures_share_the_weights_of_layers(exported: Path, name: str) -> None:
    signatures = ("length_6", "length_16")
    info = info_of(exported, name)
    weights = {weight.name: weight for weight in expectation_of(exported, name).weights}

    assert tuple(each.name for each in info.signatures) == signatures
    for layer in ("module.words.weight", "module.dense.weight"):
        assert weights[layer].functions == signatures
        (stored,) = [w for w in info.weights if w.name == weights[layer].artifact_name]
        assert stored.functions == signatures
    parts = {name: weight.shape for name, weight in weights.items() if "places" in name}
    assert [*parts] == [f"module.places.weight ({each})" for each in signatures]


def test_the_ledger_sees_a_signature_that_takes_another_weight(exported: Path) -> None:
    info, expectation = info_of(exported, "lengths"), expectation_of(exported, "lengths")
    first = ("length_6",)
    weights = tuple(weight.model_copy(update={"functions": first}) for weight in info.weights)
    ledger = build_ledger(expectation, info.model_copy(update={"weights": weights}))

    assert "length_16 of the file takes another one" in {line.reason for line in ledger.different}


def test_a_range_is_refused_with_what_to_do() -> None:
    length = Dimension(name="length", min=2, max=8, axes={"x": 1})
    contract = Contract(inputs=(), outputs=(), dimensions=(length,))
    given = summary("conv").model_copy(update={"contract": contract})

    (reason,) = PLUGIN.refuse(LiteRTOptions(), Request(), given)
    assert "length of 2 … 8" in reason
    assert "sizes = (2, 8)" in reason


def summary(role: str, float_size_bytes: int = 1000) -> ModelSummary:
    return ModelSummary(
        contract=Contract(inputs=(), outputs=()),
        family="other",
        weights=(ModelWeight(name="w", role=role, shape=(64, 64)),),
        op_counts={},
        float_size_bytes=float_size_bytes,
    )


def linear(bits: int, **fields: object) -> WeightScheme:
    return WeightScheme(encoding="linear", bits=bits, **fields)


BLOCKS = {"granularity": "per_block", "block_size": 32}
DYNAMIC = ActivationScheme(mode="dynamic", bits=8)


@pytest.mark.parametrize(
    ("role", "scheme", "activations", "word"),
    [
        ("conv", WeightScheme(encoding="palette", bits=4), ActivationScheme(), "lookup tables"),
        ("conv", WeightScheme(sparsity=0.5), ActivationScheme(), "zeros"),
        ("linear", linear(2), ActivationScheme(), "4 and 8 bits"),
        ("linear", linear(8, symmetric=False), ActivationScheme(), "symmetric"),
        ("conv_transpose", linear(4), ActivationScheme(), "4 bits"),
        ("conv", linear(4, **BLOCKS), DYNAMIC, "blocks"),
        ("linear", linear(4, granularity="per_block", block_size=48), DYNAMIC, "32, 64"),
        ("linear", linear(4, **BLOCKS), ActivationScheme(), "dynamic"),
    ],
)
def test_schemes_that_the_format_lacks_are_refused(
    role: str, scheme: WeightScheme, activations: ActivationScheme, word: str
) -> None:
    request = Request(weights={role: scheme}, activations=activations)

    assert any(word in reason for reason in PLUGIN.refuse(LiteRTOptions(), request, summary(role)))
    assert PLUGIN.refuse(LiteRTOptions(), request, summary("other")) == []


def test_transposed_convolutions_in_groups_are_refused() -> None:
    weight = ModelWeight(name="up.weight", role="conv_transpose", shape=(8, 4, 2, 2), groups=2)
    whole = weight.model_copy(update={"groups": 1})
    grouped, plain = (summary("conv").model_copy(update={"weights": (w,)}) for w in (weight, whole))

    (reason,) = PLUGIN.refuse(LiteRTOptions(), Request(), grouped)
    assert "up.weight" in reason
    assert PLUGIN.refuse(LiteRTOptions(), Request(), plain) == []


def test_models_beyond_two_gigabytes_are_refused() -> None:
    assert PLUGIN.refuse(LiteRTOptions(), Request(), summary("conv", 2**31)) != []
    assert PLUGIN.refuse(LiteRTOptions(), Request(), summary("conv", 2**30)) == []


@pytest.mark.parametrize(
    ("activations", "refused"),
    [
        (ActivationScheme(), False),
        (ActivationScheme(mode="static", bits=8), False),
        (ActivationScheme(mode="static", bits=16), True),
        (DYNAMIC, True),
    ],
)
def test_nnapi_takes_float_and_static_int8(activations: ActivationScheme, refused: bool) -> None:
    reasons = PLUGIN.refuse(
        LiteRTOptions(op_set="nnapi"), Request(activations=activations), summary("conv")
    )

    assert bool(reasons) is refused


@pytest.mark.parametrize("op_set", ["builtin", "nnapi"])
def test_operators_that_are_not_built_in_are_refused(op_set: OpSet) -> None:
    file = File()
    x, y = file.value("x", (1, 4), "float32"), file.value("y", (1, 4), "float32")
    file.operator(schema.BuiltinOperator.LOGISTIC, [x], [y])
    require_op_set(file.pack({"x": x}, {"y": y}), op_set)

    file.custom[schema.BuiltinOperator.CUSTOM] = "FlexErf"
    file.operator(schema.BuiltinOperator.CUSTOM, [x], [y])
    with pytest.raises(DelegationRefused, match="CUSTOM:FlexErf"):
        require_op_set(file.pack({"x": x}, {"y": y}), op_set)


def test_ranges_need_a_calibration_set() -> None:
    static = Request(activations=ActivationScheme(mode="static", bits=8))

    assert PLUGIN.needs(static) is Needs.CALIBRATION
    assert PLUGIN.needs(Request(activations=DYNAMIC)) is Needs.NONE
