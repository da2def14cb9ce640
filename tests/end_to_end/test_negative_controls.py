"""Faults that a build has to see: shipped targets and exporters, a network of a few KB."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.targets import shipped_folder

pytestmark = pytest.mark.slow

CONTROLS = Path(__file__).parent / "controls"
MODEL = f"{CONTROLS / 'classifier.py'}:build"
PLUGINS = sorted(CONTROLS.glob("*/*.py"))


def write_images(folder, seed, contrast=1.0):
    """Write 40 images of smooth colours."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(40):
        coarse = 127.5 + contrast * (generator.uniform(0, 255, (4, 4, 3)) - 127.5)
        image = Image.fromarray(coarse.astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed, name in enumerate(("calibration", "evaluation")):
        write_images(folder / name, seed)
    return folder


@pytest.fixture
def run(command_line, photos):
    """Build the classifier; give the result of the command."""

    def build(*targets, calibration=photos / "calibration"):
        return command_line(
            *("build", MODEL, "--json"),
            *(part for target in targets for part in ("--target", target)),
            *(part for plugin in PLUGINS for part in ("--plugin", plugin)),
            *("--calibration", calibration, "--evaluation", photos / "evaluation"),
            *("--output", command_line.folder / "bundle", "--overwrite"),
        )

    return build


@pytest.fixture
def change(command_line):
    """Copy a shipped target under another name, with changes; give the file."""

    def copy(shipped, name, *, steps="", export="", profile=None, format=None):
        text = (shipped_folder() / f"{shipped}.toml").read_text()
        text = text.replace(f'id = "{shipped}"', f'id = "{name}"')
        if format:
            text = re.sub(r'format = "\w+"', f'format = "{format}"', text)
        if export:
            text = re.sub(
                r'fallback = "forbid"|\[export\.fallback\][^[]*(?:\[\n[^]]*\]\n[^[]*)?', "", text
            )
            text = text.replace("[export]\n", f"[export]\n{export}\n")
        if profile:
            (command_line.folder / "profiles").mkdir(exist_ok=True)
            source = (shipped_folder() / "profiles" / f"{profile}.toml").read_text()
            place = command_line.folder / "profiles" / f"{name}.toml"
            place.write_text(source.replace("[budget.any]", f"{steps}\n[budget.any]"))
            text = re.sub(r'\ndefault = "[\w-]+"', f'\ndefault = "{name}"', text)
        path = command_line.folder / f"{name}.toml"
        path.write_text(text)
        return path

    return copy


def disturbed(change, how):
    """Give android-gpu with a step behind its profile's own."""
    steps = f'[[compress]]\nmethod = "disturb"\nhow = "{how}"\n'
    return change("android-gpu", how.replace("_", "-"), steps=steps, profile="fp16")


def altered(change, how, name=None, **allow_partial):
    """Give android-npu with an exporter whose files are not what it says."""
    export = f'how = "{how}"'
    if allow_partial:
        fields = ", ".join(f"{key} = {json.dumps(value)}" for key, value in allow_partial.items())
        export += f"\nallow_partial = {{ {fields} }}"
    name = name or how.replace("_", "-")
    return change("android-npu", name, export=export, format="altered_litert")


def left(folder):
    return {item.name for item in folder.iterdir()}


def test_without_a_fault_the_classifier_passes(run, command_line):
    result = run("android-gpu", "android-npu")
    assert result.code == 0, result.err
    assert read_manifest(command_line.folder / "bundle").releasable


@pytest.mark.parametrize("how", ["scale_head", "swap_colours"])
def test_a_disturbed_weight_fails_a_gate_and_the_bundle_is_whole(run, change, command_line, how):
    result = run(disturbed(change, how))
    assert result.code == 1, result.out
    bundle = command_line.folder / "bundle"
    manifest = read_manifest(bundle)
    (variant,) = manifest.models[0].variants
    assert (variant.verification.value, manifest.releasable) == ("failed_gate", False)
    verdicts = {gate.name: gate.verdict for gate in variant.gates}
    assert verdicts["min_sqnr_db"] == "failed"
    assert verdicts["max_size_ratio"] == "passed"
    if how == "swap_colours":
        assert verdicts["min_top1_agreement"] == "failed"
    assert all((bundle / entry.path).exists() for entry in manifest.files)
    ledger = json.loads((bundle / variant.records["ledger"]).read_bytes())
    assert "different" not in {entry["status"] for entry in ledger["entries"]}


def test_a_converter_that_aborts_is_named(run, change, command_line):
    result = run(disturbed(change, "abort"))
    assert (result.code, result.json["error"]["code"]) == (6, "worker-crashed")
    message = result.json["error"]["message"]
    assert re.match("disturb of .* for abort ended by signal SIGABRT", message)
    assert left(command_line.folder) == {"abort.toml", "profiles"}


def test_constant_images_are_refused(run, command_line, tmp_path_factory):
    grey = tmp_path_factory.mktemp("grey") / "calibration"
    write_images(grey, 0, contrast=0.0)
    result = run("android-npu", calibration=grey)
    assert (result.code, result.json["error"]["code"]) == (2, "invalid-dataset")
    assert "0.png is constant" in result.json["error"]["message"]
    assert left(command_line.folder) == set()


def test_an_op_outside_the_delegate_is_refused_by_name(run, change, command_line):
    result = run(change("android-xnnpack", "strict", export='fallback = "forbid"'))
    assert (result.code, result.json["error"]["code"]) == (6, "delegation-refused")
    assert "aten::sum.IntList_out" in result.json["error"]["message"]
    assert left(command_line.folder) == {"strict.toml"}


@pytest.mark.parametrize(
    ("how", "faults"),
    [
        ("other_values", ["second.weight", "its values are others"]),
        ("other_scheme", ["head.weight", "planned int8/channel, found int8/tensor"]),
        (
            "float_head",
            ["head.weight", "planned int8/channel, found float32", "computes in floating point"],
        ),
    ],
)
def test_a_file_that_is_not_as_planned_is_refused(run, change, command_line, how, faults):
    path = altered(change, how)
    result = run(path)
    assert (result.code, result.json["error"]["code"]) == (6, "compression-incomplete")
    for fault in faults:
        assert fault in result.json["error"]["message"]
    assert left(command_line.folder) == {path.name}


def test_a_target_accepts_as_much_as_it_says_and_it_is_on_record(run, change, command_line):
    reason = "the head is tiny"
    target = altered(change, "float_head", "lenient", max_fraction=0.4, reason=reason)
    result = run(target)
    assert result.code == 0, result.out
    bundle = command_line.folder / "bundle"
    (variant,) = read_manifest(bundle).models[0].variants
    assert variant.allowances["allow_partial"]["reason"] == reason
    ledger = json.loads((bundle / variant.records["ledger"]).read_bytes())
    different = [entry for entry in ledger["entries"] if entry["status"] == "different"]
    assert {entry["kind"] for entry in different} == {"weight", "op"}
    assert all("head" in entry["name"] for entry in different if entry["kind"] == "weight")

    result = run(altered(change, "float_head", "stricter", max_fraction=0.01, reason=reason))
    assert (result.code, result.json["error"]["code"]) == (6, "compression-incomplete")
