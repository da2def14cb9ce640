import pytest

from mobilesdk.bundle.canonical import canonical_json
from mobilesdk.bundle.manifest import Manifest, ModelEntry, Variant, read_manifest
from mobilesdk.core.contract import Contract
from mobilesdk.core.gate import Gate
from mobilesdk.errors import FileRejected
from mobilesdk.pipeline.check import Check
from mobilesdk.pipeline.claims import check_claims
from mobilesdk.pipeline.verification import VerifyReport

CONTRACT = {
    "inputs": [{"name": "x", "shape": [1, 4], "dtype": "float32"}],
    "outputs": [{"name": "y", "shape": [1, 3], "dtype": "float32", "kind": "other"}],
}


def sqnr(value, verdict, limit=20.0):
    return Gate(
        name="min_sqnr_db", output="y", value=value, limit=limit, unit="dB", verdict=verdict
    )


def manifest(*gates, verification="verified_on_host", releasable=False, failures=()):
    variant = Variant(
        target="t",
        target_title="a target",
        format="plain",
        artifact="variants/t/m.plain",
        size_bytes=1,
        float_size_bytes=4,
        profile="p",
        methods=(),
        minimum_os="8.0",
        match={},
        fallback_order=0,
        verification=verification,
        gates=gates,
        parity=None,
        calibration=None,
        evaluation=None,
        tools={},
        records={},
        expected_outputs=None,
    )
    model = ModelEntry(
        name="m",
        source="m.py:build",
        sha256="0" * 64,
        family="other",
        contract=Contract.model_validate(CONTRACT),
        golden_inputs="goldens/m/inputs.safetensors",
        golden_outputs="goldens/m/outputs.safetensors",
        variants=(variant,),
    )
    return Manifest(
        mobilesdk_version="1",
        releasable=releasable,
        models=(model,),
        failures=failures,
        files=(),
    )


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (manifest(sqnr(20.0, "passed"), releasable=True), "passed"),
        (manifest(sqnr(19.9, "failed"), verification="failed_gate"), "failed"),
        (manifest(sqnr(None, "not_evaluated"), verification="not_evaluated"), "not_evaluated"),
        (manifest(sqnr(None, "unverifiable"), verification="unverifiable"), "not_evaluated"),
    ],
)
def test_the_gates_of_a_variant_are_judged_again(made, verdict):
    (check,) = check_claims(made)
    assert (check.subject, check.name, check.verdict) == ("m for t", "gates", verdict)


@pytest.mark.parametrize(
    "made",
    [
        manifest(sqnr(19.9, "passed"), releasable=True),
        manifest(sqnr(float("nan"), "passed")),
        manifest(sqnr(None, "passed"), releasable=True),
        manifest(sqnr(30.0, "failed"), verification="failed_gate"),
        manifest(sqnr(19.9, "failed")),
        manifest(sqnr(30.0, "passed"), verification="failed_gate"),
        manifest(sqnr(None, "not_evaluated")),
        manifest(sqnr(19.9, "failed"), verification="failed_gate", releasable=True),
        manifest(sqnr(None, "unverifiable"), verification="unverifiable", releasable=True),
        manifest(verification="not_evaluated", releasable=True),
        manifest(sqnr(30.0, "passed"), releasable=False),
        manifest(
            sqnr(30.0, "passed"),
            releasable=True,
            failures=[{"model": "m", "target": "u", "step": "export", "code": "internal"}],
        ),
    ],
)
def test_a_manifest_whose_claims_do_not_follow_from_its_figures_is_rejected(made):
    with pytest.raises(FileRejected, match="contradicts itself"):
        check_claims(made)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("model", "../up"),
        ("model", ".hidden"),
        ("model", "m\x1b[2J"),
        ("model", "m\n"),
        ("model", "m" * 201),
        ("target", "../up"),
        ("target", "T"),
        ("target", ""),
        ("format", "../evil"),
        ("format", "os.path"),
        ("failure", "a/b"),
    ],
)
def test_names_that_could_lead_elsewhere_are_rejected(tmp_path, place, name):
    failure = {"model": "m", "target": "u", "step": "export", "code": "internal"}
    data = manifest(sqnr(30.0, "passed"), failures=[failure]).model_dump(mode="json")
    model = data["models"][0]
    table, key = {
        "model": (model, "name"),
        "target": (model["variants"][0], "target"),
        "format": (model["variants"][0], "format"),
        "failure": (data["failures"][0], "model"),
    }[place]
    (tmp_path / "manifest.json").write_bytes(canonical_json(data))
    assert read_manifest(tmp_path).models
    table[key] = name
    (tmp_path / "manifest.json").write_bytes(canonical_json(data))
    with pytest.raises(FileRejected, match=r"should match pattern|should have at most"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("name", "verdict", "has_run"),
    [
        ("goldens", "passed", True),
        ("goldens", "not_evaluated", False),
        ("max_non_finite_runs", "failed", True),
        ("gates", "passed", False),
    ],
)
def test_a_report_tells_whether_anything_was_run(tmp_path, name, verdict, has_run):
    check = Check(subject="m", name=name, verdict=verdict)
    assert VerifyReport(path=tmp_path, checks=(check,)).has_run is has_run
