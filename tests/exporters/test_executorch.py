"""The ExecuTorch exporter, on tiny models that a process of its own exports and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract, StateSpec
from mobilesdk.core.form import Needs
from mobilesdk.core.ledger import Ledger
from mobilesdk.core.model import ModelSummary, ModelWeight
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRole, WeightScheme
from mobilesdk.exporters.executorch import PLUGIN, ExecuTorchOptions
from mobilesdk.runtimes.executorch import PLUGIN as RUNTIME
from mobilesdk.verify.ledger import build_ledger
from tests.exporters.exported import check_refusal, expectation_of, export, worst_sqnr_db

# Case → least SQNR in dB of the file against the compressed program.
RUN = {
    "float": 100,
    "portable": 100,
    "static": 35,
    "clamped": 28,
    "percentile": 35,
    "per_tensor": 35,
    "joined": 35,
    "repeated": 40,
    "pre_activation": 35,
    "dead": 40,
    "gated": 30,
    "vector": 30,
    "dynamic": 30,
    "text": 100,
    "text8": 35,
    "text4": 35,
    "text4_channel": 35,
}
COREML = ("coreml", "coreml32")
REFUSED = {
    "spectrum": ("conversion-failed", "aten.abs"),
    "volume": ("compression-incomplete", "module.conv.weight"),
    "uncalibrated": ("step-failed", "calibration samples"),
}
REPEATED = ("static", "joined", "text4", "coreml")
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
STATIC = ActivationScheme(mode="static", bits=8)
DYNAMIC = ActivationScheme(mode="dynamic", bits=8)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [*RUN, *COREML, *REFUSED, "vendor"]
    return export("executorch_cases", tmp_path_factory.mktemp("executorch"), names, "1")


def info_of(exported: Path, name: str) -> ArtifactInfo:
    return RUNTIME.inspect(exported / name / "model.pte")


def ledger_of(exported: Path, name: str) -> Ledger:
    return build_ledger(expectation_of(exported, name), info_of(exported, name))


@slow
@pytest.mark.parametrize("name", [*RUN, *COREML])
def test_the_file_holds_what_was_planned(exported: Path, name: str) -> None:
    assert ledger_of(exported, name).different == ()
    assert info_of(exported, name).problems == ()


@slow
@pytest.mark.parametrize("name", RUN)
def test_the_file_computes_what_the_program_computes(exported: Path, name: str) -> None:
    assert worst_sqnr_db(exported / name) > RUN[name]


@slow
@pytest.mark.parametrize(
    "name", ["static", "percentile", "per_tensor", "pre_activation", "dead", "gated"]
)
def test_a_static_program_is_int8_between_its_borders(exported: Path, name: str) -> None:
    info = info_of(exported, name)

    assert info.delegates == {"XnnpackBackend": 1}
    assert [op for op in info.ops if not op.delegate] == []
    assert [op.type for op in info.ops if op.dtype == "float32"] == ["XNNConvert"]


@slow
def test_clamps_are_no_ops_of_their_own_and_pads_are_int8(exported: Path) -> None:
    types = {op.type: op.dtype for op in info_of(exported, "static").ops}

    assert "XNNClamp" not in types
    assert types["XNNStaticConstantPad"] == "int8"


@slow
def test_what_is_looked_up_is_added_in_int8(exported: Path) -> None:
    info = info_of(exported, "vector")

    assert {op.dtype for op in info.ops if op.type == "XNNAdd"} == {"int8"}
    assert {op.dtype for op in info.ops if op.type == "XNNClamp"} == {"float32"}


@slow
def test_the_vendors_quantizer_is_seen_to_be_worse(exported: Path) -> None:
    """It rounds in front of ReLU6, which cuts most of the levels off."""
    assert worst_sqnr_db(exported / "vendor") < worst_sqnr_db(exported / "clamped") - 10


@slow
def test_ops_without_an_int8_kernel_stay_float_with_a_reason(exported: Path) -> None:
    allowed = expectation_of(exported, "joined").float_op_types

    assert set(allowed) == {"XNNConvert", "XNNSigmoid", "XNNSoftmax"}
    assert all(allowed.values())


@slow
def test_a_program_that_stayed_float_by_mistake_is_different(exported: Path) -> None:
    ledger = build_ledger(expectation_of(exported, "static"), info_of(exported, "float"))

    assert {entry.kind for entry in ledger.different} == {"weight", "op"}


@slow
def test_attention_leaves_one_delegate(exported: Path) -> None:
    info = info_of(exported, "text4")

    assert info.delegates == {"XnnpackBackend": 1}
    assert {op.type for op in info.ops if not op.delegate} == {
        "quantized_decomposed::embedding_byte.out",
        "aten::mean.out",
    }
    assert info.inputs[0].dtype == "int64"


@slow
def test_biases_survive_beside_weights_that_are_all_but_zero(exported: Path) -> None:
    with np.load(exported / "dead" / "run0.npz", allow_pickle=False) as run:
        error = np.abs(run["wanted_y0"] - run["found_y0"]).max(axis=(0, 2, 3))

    assert error[1] < 0.05
    assert error[2] < 0.05


@slow
@pytest.mark.parametrize("name", COREML)
def test_a_core_ml_program_shows_the_package_in_it(exported: Path, name: str) -> None:
    info = info_of(exported, name)

    assert info.delegates == {"CoreMLBackend": 1}
    assert info.minimum_os == "iOS 16"
    assert "conv" in {op.type for op in info.ops}
    assert RUNTIME.refuses(info) == ""
    assert RUNTIME.executes_by(info) == "reference"


@slow
@pytest.mark.parametrize(("name", "limit_db"), [("coreml", 40.0), ("coreml32", 100.0)])
def test_the_package_in_a_core_ml_program_computes_the_same(
    exported: Path, name: str, limit_db: float
) -> None:
    assert worst_sqnr_db(exported / name) > limit_db


@slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_refused(exported: Path, name: str) -> None:
    check_refusal(exported, name, *REFUSED[name])
    assert not (exported / name / "model.pte").exists()


@slow
def test_two_processes_write_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    again = export("executorch_cases", tmp_path, [*REPEATED], "2")

    for name in REPEATED:
        for file in ("model.pte", "expectation.json"):
            assert (exported / name / file).read_bytes() == (again / name / file).read_bytes()


def summary(role: WeightRole, shape: tuple[int, ...]) -> ModelSummary:
    return ModelSummary(
        contract=Contract(inputs=(), outputs=()),
        family="other",
        weights=(ModelWeight(name="w", role=role, shape=shape),),
        op_counts={},
        float_size_bytes=0,
    )


def refusals(
    scheme: WeightScheme,
    activations: ActivationScheme,
    role: WeightRole = "linear",
    shape: tuple[int, ...] = (64, 64),
    **options: Any,
) -> list[str]:
    request = Request(weights={role: scheme}, activations=activations)
    return PLUGIN.refuse(ExecuTorchOptions(**options), request, summary(role, shape))


FLOAT = ActivationScheme()
BLOCKS = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)


@pytest.mark.parametrize(
    ("scheme", "activations", "word"),
    [
        (INT8, FLOAT, "float activations"),
        (WeightScheme(bits=16), FLOAT, "no kernels"),
        (WeightScheme(encoding="palette", bits=4), FLOAT, "no kernels"),
        (WeightScheme(sparsity=0.5), FLOAT, "zeros"),
        (BLOCKS, STATIC, "8 bits"),
        (INT8.model_copy(update={"symmetric": False}), STATIC, "symmetric"),
        (WeightScheme(encoding="linear", bits=8), DYNAMIC, "per channel"),
        (BLOCKS.model_copy(update={"block_size": 16}), DYNAMIC, "multiple of 32"),
        (BLOCKS.model_copy(update={"bits": 8}), DYNAMIC, "int4 blocks"),
        (INT8, ActivationScheme(mode="static", bits=16), "16-bit"),
        (WeightScheme(), ActivationScheme(bits=16), "float16"),
    ],
)
def test_xnnpack_refuses_what_it_has_no_kernels_for(
    scheme: WeightScheme, activations: ActivationScheme, word: str
) -> None:
    reasons = refusals(scheme, activations)

    assert len(reasons) == 1
    assert word in reasons[0]


@pytest.mark.parametrize(
    ("scheme", "activations", "role", "shape"),
    [
        (WeightScheme(), FLOAT, "linear", (64, 64)),
        (INT8, STATIC, "depthwise", (64, 1, 3, 3)),
        (INT8, DYNAMIC, "conv", (64, 64, 3, 3)),
        (BLOCKS, DYNAMIC, "linear", (64, 64)),
        (INT8, DYNAMIC, "embedding", (100, 64)),
    ],
)
def test_xnnpack_takes_what_it_has_kernels_for(
    scheme: WeightScheme,
    activations: ActivationScheme,
    role: WeightRole,
    shape: tuple[int, ...],
) -> None:
    assert refusals(scheme, activations, role, shape) == []


@pytest.mark.parametrize(
    ("role", "shape"), [("depthwise", (512, 1, 3, 3)), ("conv_transpose", (64, 64, 2, 2))]
)
def test_dynamic_int8_names_the_roles_it_has_no_kernel_for(
    role: WeightRole, shape: tuple[int, ...]
) -> None:
    assert role in refusals(INT8, DYNAMIC, role, shape)[0]


def test_transposed_convolutions_in_groups_are_refused_in_int8_only() -> None:
    weight = ModelWeight(name="up.weight", role="conv_transpose", shape=(8, 4, 2, 2), groups=2)
    grouped = summary("conv", ()).model_copy(update={"weights": (weight,)})
    request = Request(weights={"conv_transpose": INT8}, activations=STATIC)

    (reason,) = PLUGIN.refuse(ExecuTorchOptions(), request, grouped)
    assert "up.weight" in reason
    assert PLUGIN.refuse(ExecuTorchOptions(), Request(activations=STATIC), grouped) == []


def test_the_core_ml_delegate_is_given_no_states() -> None:
    stateless = summary("linear", (64, 64))
    state = StateSpec(name="cache", shape=(1, 4), dtype="float32")
    contract = stateless.contract.model_copy(update={"states": (state,)})
    stateful = stateless.model_copy(update={"contract": contract})

    (reason,) = PLUGIN.refuse(ExecuTorchOptions(backend="coreml"), Request(), stateful)
    assert "is given no states" in reason
    assert PLUGIN.refuse(ExecuTorchOptions(), Request(), stateful) == []


def test_the_other_backends_store_floats_only() -> None:
    assert "portable" in refusals(INT8, STATIC, backend="portable")[0]
    assert "float activations only" in refusals(INT8, STATIC, backend="coreml")[0]
    half = WeightScheme(bits=16)
    assert refusals(half, FLOAT, backend="coreml") == []
    assert (
        "compute_precision"
        in refusals(half, FLOAT, backend="coreml", compute_precision="float32")[0]
    )


def test_only_static_ranges_need_calibration() -> None:
    assert PLUGIN.needs(Request(activations=STATIC)) is Needs.CALIBRATION
    assert PLUGIN.needs(Request(activations=DYNAMIC)) is Needs.NONE
