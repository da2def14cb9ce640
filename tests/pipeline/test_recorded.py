import pytest

from mobilesdk import __version__
from mobilesdk.bundle.canonical import canonical_json
from mobilesdk.core.contract import Contract
from mobilesdk.errors import FileRejected
from mobilesdk.pipeline.claims import check_claims
from mobilesdk.pipeline.recorded import check_records
from mobilesdk.targets import load_profile
from mobilesdk.verify.gates import judge, non_finite_gate
from tests.pipeline.test_claims import manifest, sqnr

CONTRACT = Contract.model_validate(
    {
        "inputs": [{"name": "x", "shape": [1, 4], "dtype": "float32"}],
        "outputs": [{"name": "y", "shape": [1, 3], "dtype": "float32", "kind": "embedding"}],
    }
)


def written(folder, *gates, verification="verified_on_host"):
    """Write the records of a variant with these gates."""
    (folder / "parity.json").write_bytes(
        canonical_json({"parity": None, "gates": [gate.model_dump(mode="json") for gate in gates]})
    )
    (folder / "runtime.json").write_bytes(
        canonical_json({"verification": verification, "reason": "", "ran_on": "", "newer": 1})
    )


def claimed(*gates, variant=None, **fields):
    """Give a manifest that claims these gates, and names the records."""
    made = manifest(*gates, **fields)
    records = {"parity": "parity.json", "runtime": "runtime.json"}
    (entry,) = made.models
    changed = entry.variants[0].model_copy(update={"records": records} | (variant or {}))
    entry = entry.model_copy(update={"contract": CONTRACT, "variants": (changed,)})
    return made.model_copy(update={"models": (entry,)})


def test_a_manifest_that_says_what_its_records_say_is_accepted(tmp_path):
    nan = sqnr(float("nan"), "failed")
    written(tmp_path, sqnr(21.5, "passed"))
    check_records(tmp_path, claimed(sqnr(21.5, "passed"), releasable=True))
    written(tmp_path, nan, verification="failed_gate")
    check_records(tmp_path, claimed(nan, verification="failed_gate"))


def test_a_lowered_limit_is_rejected(tmp_path):
    written(tmp_path, sqnr(45.0, "passed", limit=21.0))
    made = claimed(sqnr(45.0, "passed", limit=1.0), releasable=True)
    check_claims(made)
    with pytest.raises(FileRejected) as caught:
        check_records(tmp_path, made)
    assert "min_sqnr_db of y: 45.0 against 1.0, passed in the manifest" in caught.value.message
    assert "45.0 against 21.0, passed in the record" in caught.value.message


def test_a_lowered_limit_with_another_verdict_is_rejected(tmp_path):
    written(tmp_path, sqnr(20.0, "failed", limit=21.0), verification="failed_gate")
    made = claimed(sqnr(20.0, "passed", limit=1.0), releasable=True)
    check_claims(made)
    with pytest.raises(FileRejected, match=r"failed in the record.*'failed_gate' in the record"):
        check_records(tmp_path, made)


def test_a_gate_that_was_left_out_is_rejected(tmp_path):
    written(tmp_path, sqnr(45.0, "passed"))
    with pytest.raises(FileRejected, match="no gate in the manifest"):
        check_records(tmp_path, claimed(releasable=True))


def test_what_differs_besides_the_gates_is_named(tmp_path):
    written(tmp_path)
    parity = {"parity": {"sample_count": 1, "outputs": ()}}
    for variant, named in ((parity, "parity differs"), ({"ran_on": "npu"}, "ran_on: 'npu'")):
        with pytest.raises(FileRejected, match=named):
            check_records(tmp_path, claimed(variant=variant))


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"gates": 1}', b"[" * 100_000])
def test_a_damaged_record_is_rejected(tmp_path, content):
    written(tmp_path)
    (tmp_path / "parity.json").write_bytes(content)
    with pytest.raises(FileRejected):
        check_records(tmp_path, claimed())


def test_a_variant_without_records_is_rejected(tmp_path):
    with pytest.raises(FileRejected, match="no record of its parity"):
        check_records(tmp_path, claimed(variant={"records": {}}))


def fp16_gates(**limits):
    gates = judge(load_profile("fp16").budget, CONTRACT, None, 1, 4)
    return tuple(
        gate.model_copy(update={"limit": limits[gate.name]}) if gate.name in limits else gate
        for gate in gates
    )


@pytest.mark.parametrize(
    ("version", "overrides", "accepted"),
    [
        (__version__, (), False),
        (__version__, ("budget.any.min_sqnr_db",), True),
        (__version__, ("profile",), True),
        ("0.0.0", (), True),
    ],
)
def test_limits_are_those_of_the_shipped_profile(tmp_path, version, overrides, accepted):
    def made(*gates):
        written(tmp_path, *gates, verification="not_evaluated")
        variant = {"profile": "fp16", "overrides": overrides}
        found = claimed(*gates, verification="not_evaluated", variant=variant)
        return found.model_copy(update={"mobilesdk_version": version})

    check_records(tmp_path, made(*fp16_gates()))
    overflow = non_finite_gate(1, 4, "golden 0: mul x")
    check_records(tmp_path, made(*fp16_gates(), overflow))  # no profile asks for it
    lowered = made(*fp16_gates(min_sqnr_db=1.0))
    if accepted:
        check_records(tmp_path, lowered)
        return
    with pytest.raises(
        FileRejected, match=r"shipped profile 'fp16'.*min_sqnr_db of y: 1.0, not 40"
    ):
        check_records(tmp_path, lowered)
    with pytest.raises(FileRejected, match="no limit, not"):
        check_records(tmp_path, made())
