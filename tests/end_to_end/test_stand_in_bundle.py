import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from mobilesdk.bundle.canonical import canonical_json, tree_hash
from mobilesdk.bundle.manifest import read_manifest
from tests.conftest import LINEAR, PLUGINS, STAND_INS


def files(folder):
    return sorted(
        item.relative_to(folder).as_posix() for item in folder.rglob("*") if item.is_file()
    )


@pytest.fixture
def plain(command_line):
    return command_line.target("first", budget="[budget.any]\nmin_sqnr_db = 20.0\n")


def verify(command_line, *arguments):
    plugins = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
    return command_line("verify", *arguments, *plugins, "--json")


def test_a_bundle_has_the_documented_tree_and_a_manifest_that_names_every_file(build, plain):
    result = build(plain, arguments=["--json"])
    assert result.code == 0, result.err
    assert files(plain.parent / "bundle") == [
        "goldens/linear/first.safetensors",
        "goldens/linear/inputs.safetensors",
        "goldens/linear/outputs.safetensors",
        "manifest.json",
        "records/first/linear/ledger.json",
        "records/first/linear/parity.json",
        "records/first/linear/plan.json",
        "records/first/linear/runtime.json",
        "variants/first/linear.plain",
    ]
    manifest = read_manifest(plain.parent / "bundle")
    for entry in manifest.files:
        assert tree_hash(plain.parent / "bundle" / entry.path) == entry.sha256
    assert {entry.path for entry in manifest.files} == {
        name for name in files(plain.parent / "bundle") if name != "manifest.json"
    }
    (variant,) = manifest.models[0].variants
    assert (variant.target, variant.profile, variant.overrides) == ("first", "plain", ())
    assert variant.inputs["x"].model_dump() == {
        "name": "x",
        "shape": (1, 4),
        "dtype": "float32",
        "flexibility": None,
    }
    assert list(variant.outputs) == ["scores"]
    assert variant.export["how"] == "right"
    assert variant.ran_on == "plain on the host's CPU"
    assert (variant.accelerator, variant.minimum_os, variant.maximum_os) == ("xnnpack", "8.0", None)
    assert variant.calibration.count == variant.evaluation.count == 40
    assert variant.verification.value == "verified_on_host"
    assert manifest.releasable
    assert result.json["exit_code"] == 0
    assert result.json["manifest"]["models"][0]["name"] == "linear"


def test_a_target_for_an_accelerator_says_that_the_cpu_ran_it(build, plain):
    text = plain.read_text()
    plain.write_text(text.replace('"xnnpack"', '"npu"'))
    result = build(plain)
    assert result.code == 0, result.err
    assert "not on the accelerator: first (npu)" in result.out
    plain.write_text(text)
    assert "accelerator" not in build(plain, arguments=["--overwrite"]).out


def test_a_failed_gate_writes_the_bundle_whole_and_exits_1(build, command_line):
    budget = "[budget.any]\nmax_size_bytes = 1\n"
    target = command_line.target("strict", profile="strict", compress=(), budget=budget)
    result = build(target, arguments=["--junit", command_line.folder / "junit.xml"])
    assert result.code == 1, result.err
    manifest = read_manifest(command_line.folder / "bundle")
    assert not manifest.releasable
    assert manifest.models[0].variants[0].verification.value == "failed_gate"
    assert (command_line.folder / "bundle" / manifest.models[0].variants[0].artifact).exists()
    xml = (command_line.folder / "junit.xml").read_text()
    assert 'failures="1"' in xml
    assert "max_size_bytes" in xml
    result = verify(command_line, command_line.folder / "bundle")
    assert result.code == 1, result.err
    (failed,) = [check for check in result.json["checks"] if check["verdict"] == "failed"]
    assert (failed["name"], "max_size_bytes" in failed["detail"]) == ("gates", True)


def test_swapped_channels_fail_a_gate(build, command_line):
    """The ledger cannot see an order: sums stay the same. Parity does."""
    budget = "[budget.any]\nmin_sqnr_db = 20.0\n"
    target = command_line.target("swap", profile="swap", budget=budget, how="swapped")
    result = build(target, arguments=["--overwrite"])
    assert (result.code, "--layers 8 tells which ops" in result.out) == (1, True)
    result = build(target, arguments=["--overwrite", "--json"])
    assert result.code == 1, result.err
    (gate,) = result.json["manifest"]["models"][0]["variants"][0]["gates"]
    assert (gate["name"], gate["verdict"]) == ("min_sqnr_db", "failed")


def test_an_overflow_that_the_outputs_hide_fails_the_variant(build, command_line, sets):
    budget = "[budget.any]\nmin_sqnr_db = 20.0\n"
    target = command_line.target("hidden", budget=budget, how="overflow")
    junit, bundle = command_line.folder / "junit.xml", command_line.folder / "bundle"
    result = build(target, arguments=["--junit", junit])
    said = "golden 0: linear 0: 1 of 3 values are not finite"
    assert result.code == 1, result.err
    told = " ".join(result.out.split())
    assert "max_non_finite_runs 40 (limit 0 runs)" in told
    assert f"linear for hidden: max_non_finite_runs: {said}" in told
    assert said in junit.read_text()
    (variant,) = read_manifest(bundle).models[0].variants
    assert [gate.verdict for gate in variant.gates] == ["passed", "failed"]
    assert variant.verification.value == "failed_gate"

    result = verify(command_line, bundle)
    assert result.code == 1, result.err
    failed = {c["name"]: c["detail"] for c in result.json["checks"] if c["verdict"] == "failed"}
    assert set(failed) == {"gates", "goldens"}
    assert all(said in detail for detail in failed.values())
    given = ["--model", LINEAR, "--evaluation", sets / "evaluation.npz"]
    result = verify(command_line, bundle / variant.artifact, *given)
    assert result.code == 1, result.err
    (failed,) = [check for check in result.json["checks"] if check["verdict"] == "failed"]
    assert (failed["name"], said in failed["detail"]) == ("max_non_finite_runs", True)


def test_one_failed_target_leaves_the_others(build, command_line):
    good = command_line.target("good")
    bad = command_line.target("bad", how="crash")
    result = build(good, bad, arguments=["--junit", command_line.folder / "junit.xml"])
    assert result.code == 6, result.err
    manifest = read_manifest(command_line.folder / "bundle")
    assert [variant.target for variant in manifest.models[0].variants] == ["good"]
    (failure,) = manifest.failures
    assert (failure.target, failure.step, failure.code) == (
        "bad",
        "export plain",
        "worker-crashed",
    )
    assert not manifest.releasable
    assert "SIGABRT" in result.out
    assert "The whole log: " in result.out
    assert 'errors="1"' in (command_line.folder / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("how", "code", "name"),
    [
        ("scaled", 6, "compression-incomplete"),
        ("outside", 6, "delegation-refused"),
        ("refuse", 6, "conversion-failed"),
        ("crash", 6, "worker-crashed"),
    ],
)
def test_nothing_is_written_when_no_variant_can_be(build, command_line, how, code, name):
    target = command_line.target(how, how=how)
    result = build(target, arguments=["--json"])
    assert (result.code, result.json["error"]["code"]) == (code, name), result.err
    assert result.json["exit_code"] == code
    says_more = name in ("conversion-failed", "worker-crashed")
    assert ("The whole log: " in result.json["error"]["hint"]) == says_more
    left = {item.name for item in command_line.folder.iterdir()}
    assert left == {f"{how}.toml", "profiles"}


def test_several_failures_are_all_named_and_the_highest_exit_code_wins(build, command_line):
    targets = [command_line.target(how, how=how) for how in ("refuse", "crash")]
    junit = command_line.folder / "junit.xml"
    result = build(*targets, arguments=["--json", "--junit", junit])
    assert result.code == 6
    failures = {each["target"]: each["code"] for each in result.json["failures"]}
    assert failures == {"refuse": "conversion-failed", "crash": "worker-crashed"}
    assert 'errors="2"' in junit.read_text()
    assert "SIGABRT" in junit.read_text()
    assert "it is not to be" in result.err
    assert "SIGABRT" in result.err
    assert not (command_line.folder / "bundle").exists()


def test_equal_artifacts_are_stored_once(build, command_line):
    one, two = command_line.target("one"), command_line.target("two")
    other = command_line.target("zother", padding_bytes=7)
    result = build(one, two, other)
    assert result.code == 0, result.err
    manifest = read_manifest(command_line.folder / "bundle")
    artifacts = [variant.artifact for variant in manifest.models[0].variants]
    assert artifacts[0] == artifacts[1] != artifacts[2]
    assert sum(entry.role == "artifact" for entry in manifest.files) == 2


def test_verify_passes_what_was_built_and_finds_what_was_changed(build, command_line, plain):
    folder = command_line.folder
    assert build(plain, command_line.target("package", store="folder")).code == 0
    result = verify(command_line, folder / "bundle")
    assert result.code == 0, result.err
    assert result.json["passed"]
    verdicts = {
        (check["subject"], check["name"]): check["verdict"] for check in result.json["checks"]
    }
    assert verdicts["linear for first", "goldens"] == "passed"
    assert verdicts["linear for package", "goldens"] == "passed"

    for name in files(folder / "bundle"):
        shutil.copytree(folder / "bundle", folder / "changed")
        content = bytearray((folder / "changed" / name).read_bytes())
        content[-2] ^= 1
        (folder / "changed" / name).write_bytes(content)
        result = verify(command_line, folder / "changed")
        assert result.code == 7, name
        assert result.json["error"]["code"] == "file-rejected"
        shutil.rmtree(folder / "changed")


def remake_manifest(bundle, change):
    data = json.loads((bundle / "manifest.json").read_bytes())
    change(data)
    for entry in data["files"]:
        entry["sha256"] = tree_hash(bundle / entry["path"])
    (bundle / "manifest.json").write_bytes(canonical_json(data))


def test_verify_rejects_files_that_the_manifest_does_not_name(build, command_line, plain):
    assert build(plain).code == 0
    bundle = command_line.folder / "bundle"
    (bundle / "assets").mkdir()
    (bundle / "assets" / "extra").write_text("more")
    result = verify(command_line, bundle)
    assert (result.code, "assets/extra" in result.err) == (7, True)
    (bundle / "assets" / "extra").unlink()
    (bundle / "assets" / "extra").symlink_to("/etc/passwd")
    assert verify(command_line, bundle).code == 7
    (bundle / "assets" / "extra").unlink()
    (bundle / "variants" / "first" / "linear.plain").unlink()
    assert verify(command_line, bundle).code == 7


def test_verify_rejects_a_reference_to_a_file_without_a_hash(build, command_line, plain):
    assert build(plain).code == 0
    bundle = command_line.folder / "bundle"
    remake_manifest(
        bundle,
        lambda data: data["models"][0]["variants"][0].update(artifact="variants/first/other.plain"),
    )
    result = verify(command_line, bundle)
    assert (result.code, "other.plain" in result.err) == (7, True)


def test_a_scaled_weight_under_a_new_hash_fails_its_goldens(build, command_line, plain):
    assert build(plain).code == 0
    bundle = command_line.folder / "bundle"
    artifact = bundle / "variants" / "first" / "linear.plain"
    content = load_file(artifact)
    artifact.write_bytes(save(content | {"weight": content["weight"] * 1.1}))
    remake_manifest(bundle, lambda data: None)
    result = verify(command_line, bundle)
    assert result.code == 1, result.err
    assert [c["name"] for c in result.json["checks"] if c["verdict"] == "failed"] == ["goldens"]


def test_verify_rejects_limits_that_are_not_those_of_the_records(build, command_line):
    budget = "[budget.any]\nmin_sqnr_db = 20.0\n"
    target = command_line.target("swap", profile="swap", budget=budget, how="swapped")
    assert build(target).code == 1
    bundle = command_line.folder / "bundle"

    def lower(data):
        variant = data["models"][0]["variants"][0]
        variant["gates"][0] |= {"limit": -100.0, "verdict": "passed"}
        variant["verification"] = "verified_on_host"
        data["releasable"] = True

    assert verify(command_line, bundle).code == 1
    remake_manifest(bundle, lower)
    result = verify(command_line, bundle)
    assert (result.code, "against 20.0, failed in the record" in result.err) == (7, True)


def test_a_profile_that_replaces_a_shipped_one_is_named_as_an_override(build, command_line):
    target = command_line.target("own", profile="fp16", budget="[budget.any]\nmin_cosine = 0.1\n")
    assert build(target).code == 0
    bundle = command_line.folder / "bundle"
    (variant,) = read_manifest(bundle).models[0].variants
    assert (variant.profile, variant.overrides) == ("fp16", ("profile",))
    assert verify(command_line, bundle).code == 0


def test_verify_measures_a_foreign_artifact_against_its_model(build, command_line, plain, sets):
    assert build(plain).code == 0
    artifact = command_line.folder / "bundle" / "variants" / "first" / "linear.plain"
    result = verify(
        command_line, artifact, "--model", LINEAR, "--evaluation", sets / "evaluation.npz"
    )
    assert result.code == 0, result.err
    check = result.json["checks"][-1]
    assert (check["name"], check["verdict"]) == ("parity of scores", "measured")
    assert "sqnr_db" in check["detail"]
    gate = result.json["checks"][1]
    assert (gate["name"], gate["verdict"]) == ("min_sqnr_db of scores", "passed")

    result = verify(command_line, artifact, "--model", LINEAR, "--evaluation", "nowhere.npz")
    assert (result.code, result.json["error"]["code"]) == (2, "invalid-dataset")
    assert verify(command_line, artifact).code == 2
    assert verify(command_line, "nowhere").code == 2


def test_a_constant_set_is_refused_before_anything_is_written(build, command_line, sets, plain):
    constant = command_line.folder / "constant.npz"
    np.savez(constant, x=np.ones((40, 4), np.float32))
    target = command_line.target("grid", profile="grid", compress=[{"method": "grid"}])
    result = build(target, plain, arguments=["--calibration", constant, "--json"])
    assert (result.code, result.json["error"]["code"]) == (2, "invalid-dataset")
    assert "log" not in result.json["error"]["hint"]
    assert not (command_line.folder / "bundle").exists()


def test_an_evaluation_set_of_one_sample_verifies_nothing_unless_allowed(
    build, command_line, plain
):
    small = command_line.folder / "small.npz"
    np.savez(small, x=np.random.default_rng(7).normal(size=(1, 4)).astype(np.float32))
    result = build(plain, arguments=["--evaluation", small, "--json"])
    assert (result.code, result.json["error"]["code"]) == (2, "invalid-dataset")
    assert not (command_line.folder / "bundle").exists()
    result = build(plain, arguments=["--evaluation", small, "--allow-small-calibration", "--json"])
    assert result.code == 0, result.err
    assert result.json["manifest"]["models"][0]["variants"][0]["evaluation"]["count"] == 1
    artifact = command_line.folder / "bundle" / "variants" / "first" / "linear.plain"
    assert verify(command_line, artifact, "--model", LINEAR, "--evaluation", small).code == 0


def test_a_model_that_raises_is_refused_with_its_message(build, command_line, plain):
    result = build(plain, model=f"{STAND_INS / 'linear.py'}:refuse", arguments=["--json"])
    assert (result.code, result.json["error"]["code"]) == (2, "invalid-model")
    assert "not where they should be" in result.json["error"]["message"]


def test_the_output_is_replaced_only_when_asked_and_only_if_it_is_a_bundle(
    build, command_line, plain
):
    assert build(plain).code == 0
    assert build(plain, arguments=["--json"]).json["error"]["code"] == "output-exists"
    assert build(plain, arguments=["--overwrite"]).code == 0
    (command_line.folder / "photos").mkdir()
    (command_line.folder / "photos" / "1.jpg").write_text("precious")
    result = build(plain, output="photos", arguments=["--overwrite"])
    assert (result.code, "no bundle" in result.err) == (2, True)
    assert (command_line.folder / "photos" / "1.jpg").read_text() == "precious"


def test_a_foreign_artifact_that_is_no_artifact_of_the_model_fails_the_check(
    build, command_line, plain, sets
):
    assert build(plain).code == 0
    artifact = command_line.folder / "bundle" / "variants" / "first" / "linear.plain"
    other = command_line.folder / "other.py"
    other.write_text(
        "import torch\n\ndef build():\n    return torch.nn.Linear(5, 3).eval(), torch.zeros(1, 5)\n"
    )
    result = verify(command_line, artifact, "--model", f"{other}:build")
    verdicts = {check["name"]: check["verdict"] for check in result.json["checks"]}
    assert (result.code, verdicts) == (
        1,
        {"structure": "passed", "contract": "failed", "parity": "not_evaluated"},
    )
    detail = result.json["checks"][1]["detail"]
    assert "is float32[1, 4] in the file, float32[1, 5] in the contract" in detail

    content = load_file(artifact)
    noise = command_line.folder / "noise.plain"
    noise.write_bytes(save(content | {"weight": content["weight"][::-1].copy()}))
    for arguments in ((), ("--require-releasable",)):
        result = verify(
            *(command_line, noise, "--model", LINEAR),
            *("--evaluation", sets / "evaluation.npz", *arguments),
        )
        check = result.json["checks"][1]
        assert (result.code, check["name"]) == (1, "min_sqnr_db of scores")
        assert (check["verdict"], result.json["passed"]) == ("failed", False)
        assert "against 80 dB. The floor of a file without a plan" in check["detail"]

    content["weight"] = np.full_like(content["weight"], 3e38)
    huge = command_line.folder / "huge.plain"
    huge.write_bytes(save(content))
    result = verify(command_line, huge, "--model", LINEAR, "--evaluation", sets / "evaluation.npz")
    check = result.json["checks"][1]
    assert (result.code, check["name"], check["verdict"]) == (1, "run", "failed")
    assert "not finite in 'scores'" in check["detail"]
