"""The Core AI exporter, on tiny models that a process of its own exports."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.core.artifact import ArtifactInfo, WeightInfo
from mobilesdk.core.contract import Contract, InputSpec
from mobilesdk.core.form import Needs
from mobilesdk.core.ledger import Ledger
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.scheme import ActivationScheme, Request, WeightScheme
from mobilesdk.coreai.bytecode import read_bytecode
from mobilesdk.coreai.inspection import inspect_asset
from mobilesdk.coreai.package import HASH, PROGRAM, Asset
from mobilesdk.coreai.program import Program
from mobilesdk.errors import FileRejected
from mobilesdk.exporters.coreai import PLUGIN, CoreAIOptions
from mobilesdk.graph.program import load_program, tensors_by_name
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.runtimes.coreai import PLUGIN as RUNTIME
from mobilesdk.verify.ledger import build_ledger
from tests.exporters.exported import check_refusal, expectation_of, export, worst_sqnr_db

# Case → least SQNR in dB of the file against the compressed program, over two samples.
EXPORTED = {
    "float": 110,
    "half": 50,
    "weights8": 110,
    "affine8": 110,
    "blocks4": 110,
    "palettes": 50,
    "groups": 110,
    "sparse": 110,
    "static": 25,
    "static_half": 25,
    "encoder": 110,
    "half_encoder": 50,
    "narrow": 110,
}
REFUSED = {
    "overflow": ("conversion-failed", "added"),
    "complex": ("conversion-failed", "fft"),
    "uncalibrated": ("invalid-dataset", "calibration"),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [*EXPORTED, *REFUSED]
    return export("coreai_cases", tmp_path_factory.mktemp("coreai"), names, "1")


def info_of(exported: Path, name: str) -> ArtifactInfo:
    return RUNTIME.inspect(exported / name / "model.aimodel")


def ledger_of(exported: Path, name: str) -> Ledger:
    return build_ledger(expectation_of(exported, name), info_of(exported, name))


def layers(exported: Path, name: str) -> dict[str, WeightInfo]:
    """Give the last weight of each type of layer."""
    return {weight.op: weight for weight in info_of(exported, name).weights}


@pytest.mark.parametrize("name", EXPORTED)
def test_the_file_holds_what_was_planned(exported: Path, name: str) -> None:
    assert ledger_of(exported, name).different == ()
    assert info_of(exported, name).problems == ()


@pytest.mark.parametrize("name", EXPORTED)
def test_apples_runtime_computes_what_the_program_computes(exported: Path, name: str) -> None:
    assert worst_sqnr_db(exported / name) > EXPORTED[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_go_wrong_is_refused(exported: Path, name: str) -> None:
    check_refusal(exported, name, *REFUSED[name])


@pytest.mark.parametrize(
    ("name", "op", "scheme", "size_bytes"),
    [
        ("weights8", "conv_transpose2d", "int8/channel", 16 * 16 * 4 + 16 * 4 + 1 + 4),
        ("affine8", "conv2d", "int8-affine/channel", 16 * 16 + 16 * 4 + 16 + 4),
        ("blocks4", "broadcasting_batch_matmul", "int4/block8", 32 * 10 // 2 + 40 * 4 + 1 + 4),
        ("palettes", "conv2d", "palette6/tensor", 16 * 16 * 6 // 8 + 64 * 2 + 2),
        ("groups", "conv_transpose2d", "palette4/group8", 16 * 16 * 4 // 2 + 2 * 16 * 4 + 2),
        (
            "narrow",
            "broadcasting_batch_matmul",
            "int8/channel",
            16 * 16 + 4 + 1 + 4,
        ),
    ],
)
def test_weights_are_stored_in_the_bits_of_their_scheme(
    exported: Path, name: str, op: str, scheme: str, size_bytes: int
) -> None:
    weight = layers(exported, name)[op]

    assert str(weight.scheme) == scheme
    assert weight.size_bytes == size_bytes


def test_constants_that_are_added_up_and_norms_in_float32_are_said(exported: Path) -> None:
    entries = {entry.name: entry for entry in ledger_of(exported, "half_encoder").entries}

    assert entries["module.kind + module.places"].reason == "the converter added up two weights"
    assert "module.kind" not in entries
    norms = [entry for entry in entries.values() if "layer norms" in entry.reason]
    assert {"rsqrt", "reduce_mean"} <= {entry.name.split(".")[1] for entry in norms}


def test_a_static_file_rounds_around_its_layers(exported: Path) -> None:
    dtypes = {op.name: op.dtype for op in info_of(exported, "static").ops}

    assert {dtypes[f"conv2d.{place}"] for place in range(3)} <= {"int8", "uint8"}
    assert dtypes["broadcasting_batch_matmul.0"] in ("int8", "uint8")
    assert dtypes["broadcasting_add.3"] in ("int8", "uint8")  # of two values
    assert dtypes["silu.0"] == "float32"
    half = {op.name: op.dtype for op in info_of(exported, "static_half").ops}
    assert half["conv2d.1"] == "float16"  # as its weight is
    assert half["conv2d.0"] in ("int8", "uint8")


def test_two_processes_write_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = export("coreai_cases", tmp_path, ["encoder"], "2")

    for file in ("model.aimodel", "expectation.json"):
        assert tree_hash(exported / "encoder" / file) == tree_hash(again / "encoder" / file)


def test_a_changed_byte_is_caught(exported: Path, tmp_path: Path) -> None:
    asset = shutil.copytree(exported / "float" / "model.aimodel", tmp_path / "model.aimodel")
    data = bytearray((asset / PROGRAM).read_bytes())
    data[len(data) // 2] ^= 1
    (asset / PROGRAM).write_bytes(data)

    with pytest.raises(FileRejected, match=HASH):
        RUNTIME.inspect(asset)


def test_damaged_programs_are_rejected_or_read(exported: Path) -> None:
    data = (exported / "palettes" / "model.aimodel" / PROGRAM).read_bytes()
    generator = np.random.default_rng(0)
    rejected = 0
    for _ in range(300):
        damaged = bytearray(data)
        for place in generator.integers(0, len(data), 3):
            damaged[place] = generator.integers(256)
        try:
            program = Program(read_bytecode(memoryview(bytes(damaged))))
            inspect_asset(Asset(exported, program, len(damaged)))
        except FileRejected:
            rejected += 1
    assert 0 < rejected < 300


def test_channels_that_changed_places_and_values_that_changed_are_caught(exported: Path) -> None:
    info, expectation = info_of(exported, "weights8"), expectation_of(exported, "weights8")
    name = "module.head.weight"
    values = tensors_by_name(load_program(exported / "weights8" / "source" / "program.pt2"))[name]
    for changed in (values.flip(0), values * 1.01):
        weights = tuple(
            item.model_copy(update={"fingerprint": fingerprint(changed.detach().numpy())})
            if item.name == name
            else item
            for item in expectation.weights
        )
        ledger = build_ledger(expectation.model_copy(update={"weights": weights}), info)
        assert [entry.name for entry in ledger.different] == [name]


def test_an_op_that_stayed_float_without_a_reason_is_caught(exported: Path) -> None:
    info, expectation = info_of(exported, "static"), expectation_of(exported, "static")
    ops = tuple(
        op.model_copy(update={"dtype": "float32"}) if op.name == "conv2d.0" else op
        for op in info.ops
    )
    ledger = build_ledger(expectation, info.model_copy(update={"ops": ops}))

    assert [entry.name for entry in ledger.different] == ["conv2d.0 (conv2d)"]


def refused(options: CoreAIOptions, request: Request, dtype: str = "float32") -> str:
    contract = Contract(inputs=(InputSpec(name="x", shape=(1,), dtype=dtype),), outputs=())
    summary = ModelSummary(
        contract=contract, family="other", weights=(), op_counts={}, float_size_bytes=1
    )
    return " ".join(PLUGIN.refuse(options, request, summary))


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Request(weights={"conv": WeightScheme(encoding="palette", bits=3)}), "not 3"),
        (Request(weights={"conv": WeightScheme(encoding="linear", bits=2)}), "not 2"),
        (Request(weights={"other": WeightScheme(encoding="linear", bits=8)}), "no weight"),
        (
            Request(weights={"conv": WeightScheme(encoding="linear", bits=8, sparsity=0.5)}),
            "sparse",
        ),
        (Request(weights={"conv": WeightScheme(sparsity=0.5, kept=(2, 4))}), "pattern"),
        (Request(activations=ActivationScheme(mode="dynamic", bits=8)), "dynamic"),
        (Request(activations=ActivationScheme(mode="static", bits=16)), "int16"),
    ],
)
def test_what_an_asset_cannot_store_is_refused(request_: Request, told: str) -> None:
    assert told in refused(CoreAIOptions(), request_)


def test_a_precision_that_contradicts_the_profile_is_refused() -> None:
    half = Request(activations=ActivationScheme(bits=16))
    assert "compute_precision" in refused(CoreAIOptions(compute_precision="float32"), half)
    assert refused(CoreAIOptions(), half) == ""


def test_calibration_is_asked_for_where_ranges_are_stored() -> None:
    static = Request(activations=ActivationScheme(mode="static", bits=8))
    assert PLUGIN.needs(static) is Needs.CALIBRATION
    assert PLUGIN.needs(Request()) is Needs.NONE


def test_an_input_of_another_type_is_refused() -> None:
    assert "'x' is int16" in refused(CoreAIOptions(), Request(), "int16")
