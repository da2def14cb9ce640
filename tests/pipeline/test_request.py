import json
from pathlib import Path

import numpy as np
import pytest

from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.core.source import Reference
from mobilesdk.errors import InvalidContract, InvalidModel, UsageError
from mobilesdk.pipeline.project import read_project
from mobilesdk.pipeline.request import frontend_for, name_of, read_contract
from tests.conftest import PLUGINS, STAND_INS


def write(folder, text):
    path = folder / "mobilesdk.toml"
    path.write_text(f"schema_version = 1\n{text}")
    return path


def test_paths_of_a_project_are_relative_to_its_file(tmp_path):
    path = write(
        tmp_path,
        'targets = ["apple-ane", "tiers/mine.toml"]\n'
        '[[models]]\nmodel = "nets/vision.py:build"\ncalibration = "data/photos"\n'
        '[[models]]\nname = "text"\nmodel = "package.text:build"\n'
        'profiles = { apple-ane = "fp16" }\nbudget = { any = { min_sqnr_db = 30 } }\n',
    )
    (vision, text), targets = read_project(path)
    assert targets == ("apple-ane", str(tmp_path / "tiers/mine.toml"))
    assert (vision.name, vision.reference) == ("vision", f"{tmp_path / 'nets/vision.py'}:build")
    assert vision.calibration == tmp_path / "data" / "photos"
    assert (text.name, text.reference) == ("text", "package.text:build")
    assert text.profiles == {"apple-ane": "fp16"}
    assert text.budget.any.min_sqnr_db == 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modles = []\n", "toml:2: modles: unknown key; did you mean 'models'"),
        (
            '[[models]]\nmodel = "a.py:b"\ncalibrate = "x"\n',
            r"toml:4: models\[0\]\.calibrate",
        ),
        ('[[models]]\nmodel = "a.py:b"\n[[models]]\nmodel = "b/a.py:c"\n', "two models one name"),
        ('[[models]]\nmodel = "a.py:b"\nname = "../up"\n', "cannot name a model"),
        ("[[models]\n", "toml:2: not TOML"),
        ('[[models]]\nmodel = "a.py"\n', "is no model"),
    ],
)
def test_a_project_that_does_not_hold_to_its_schema_is_refused(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_project(write(tmp_path, text))


def test_a_project_of_another_schema_version_is_refused(tmp_path):
    path = tmp_path / "mobilesdk.toml"
    path.write_text('schema_version = 2\n[[models]]\nmodel = "a.py:b"\n')
    with pytest.raises(UsageError, match="schema_version"):
        read_project(path)


def test_a_missing_project_says_what_to_give(tmp_path):
    with pytest.raises(UsageError, match="No MODEL was given"):
        read_project(tmp_path / "mobilesdk.toml")


@pytest.mark.parametrize(
    ("reference", "name"),
    [("a/b/net.py:build", "net"), ("package.module:build", "module"), ("net.py:build", "net")],
)
def test_a_model_is_named_after_its_file_or_module(reference, name):
    assert name_of(reference) == name


@pytest.mark.parametrize("reference", ["", "net.py", ":build", "..:x"])
def test_what_names_no_model_is_refused(reference):
    with pytest.raises(UsageError, match="is no model"):
        name_of(reference)


def test_a_contract_that_does_not_hold_to_its_schema_is_refused(tmp_path):
    path = tmp_path / "contract.json"
    path.write_text(json.dumps({"inputs": [{"name": "x"}], "outputs": []}))
    with pytest.raises(InvalidContract, match=r"inputs\.0\.shape"):
        read_contract(path)
    with pytest.raises(InvalidContract, match="cannot be read"):
        read_contract(tmp_path / "none")


def project(command_line, sets, more=""):
    command_line.target("tier", budget="[budget.any]\nmax_size_bytes = 1\n")
    command_line.target("other", profile="calm", budget="")
    write(
        command_line.folder,
        'targets = ["tier.toml", "other.toml"]\n[[models]]\n'
        f'model = "{STAND_INS / "linear.py"}:build"\n'
        f'calibration = "{sets / "calibration.npz"}"\nevaluation = "{sets / "evaluation.npz"}"\n'
        + more,
    )


def build(command_line, monkeypatch, *arguments):
    monkeypatch.chdir(command_line.folder)
    plugins = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
    output = command_line.folder / "bundle"
    return command_line("build", *plugins, "--output", output, "--overwrite", *arguments)


def overrides(command_line):
    manifest = read_manifest(command_line.folder / "bundle")
    return {v.target: (v.profile, v.overrides) for v in manifest.models[0].variants}


def test_what_a_project_overrides_stands_in_the_manifest(command_line, sets, monkeypatch):
    project(command_line, sets, 'profiles = { tier = "calm" }\n')
    result = build(command_line, monkeypatch)
    assert result.code == 0, result.err
    assert overrides(command_line) == {"tier": ("calm", ("profile",)), "other": ("calm", ())}

    project(command_line, sets, "budget = { any = { max_size_bytes = 100_000 } }\n")
    result = build(command_line, monkeypatch)
    assert result.code == 0, result.err
    assert overrides(command_line) == {
        "tier": ("plain", ("budget.any.max_size_bytes",)),
        "other": ("calm", ("budget.any.max_size_bytes",)),
    }


def test_a_project_changes_the_limits_that_it_names_and_no_others(command_line, sets, monkeypatch):
    project(command_line, sets, "budget = { classification = { min_cosine = 0.5 } }\n")
    result = build(command_line, monkeypatch)
    assert result.code == 1, result.err
    assert overrides(command_line) == {
        "tier": ("plain", ("budget.classification.min_cosine",)),
        "other": ("calm", ("budget.classification.min_cosine",)),
    }
    manifest = read_manifest(command_line.folder / "bundle")
    gates = {v.target: {g.name: g.verdict for g in v.gates} for v in manifest.models[0].variants}
    assert gates == {
        "tier": {"max_size_bytes": "failed", "min_cosine": "passed"},
        "other": {"min_cosine": "passed"},
    }
    project(command_line, sets, "budget = { any = { max_size_bytes = 1 } }\n")
    assert build(command_line, monkeypatch).code == 1
    assert overrides(command_line)["tier"] == ("plain", ())


def test_a_profile_for_a_target_that_does_not_exist_is_refused(command_line, sets, monkeypatch):
    project(command_line, sets, 'profiles = { teir = "calm" }\n')
    result = build(command_line, monkeypatch)
    assert (result.code, "did you mean 'tier'?" in result.err) == (2, True)
    project(command_line, sets, 'profiles = { other = "calm" }\n')
    result = build(command_line, monkeypatch, "--target", command_line.folder / "tier.toml")
    assert result.code == 1, result.err  # its own profile's budget of 1 byte


def test_the_bad_sets_of_all_models_are_told_together(command_line, sets, monkeypatch):
    command_line.target("tier")
    np.savez(command_line.folder / "bad.npz", x=np.ones((40, 4), np.float32))
    model = f'model = "{STAND_INS / "linear.py"}:build"\n'
    good = f'calibration = "{sets / "calibration.npz"}"\n'
    bad = 'calibration = "bad.npz"\n'
    models = [f'[[models]]\nname = "{name}"\n{model}' for name in ("first", "second", "third")]
    write(
        command_line.folder,
        'targets = ["tier.toml"]\n' + models[0] + bad + models[1] + bad + models[2] + good,
    )
    result = build(command_line, monkeypatch, "--json")
    assert result.code == 2, result.err
    for name in ("first", "second"):
        assert f"{name}: the calibration set" in result.err
    assert "third" not in result.err
    assert not (command_line.folder / "bundle").exists()


def test_a_set_without_a_model_is_refused(command_line, sets, monkeypatch):
    project(command_line, sets)
    result = build(command_line, monkeypatch, "--calibration", sets / "calibration.npz")
    assert (result.code, "without a MODEL" in result.err) == (2, True)


def test_what_goes_with_a_model_is_relative_to_the_project_too(tmp_path):
    (model,), _ = read_project(
        write(tmp_path, '[[models]]\nmodel = "net.pt2"\ntrust_model = true\n')
    )
    assert (model.name, model.reference) == ("net", str(tmp_path / "net.pt2"))
    assert (model.source.trusted, model.source.weights) == (True, None)
    (model,), _ = read_project(
        write(tmp_path, '[[models]]\nmodel = "nets.py:build"\nweights = "states/a.pt"\n')
    )
    assert model.source.weights == tmp_path / "states" / "a.pt"


def test_a_part_of_a_folder_that_is_no_model_is_refused():
    with pytest.raises(InvalidModel, match="No frontend takes 'a/b:c'"):
        frontend_for("a/b:c")


@pytest.mark.parametrize(
    ("text", "path", "module", "function"),
    [
        ("net.py:build", "net.py", "", "build"),
        ("a/net.py:build", "a/net.py", "", "build"),
        ("package.net:build", None, "package.net", "build"),
        ("net.pt2", "net.pt2", "", ""),
        ("a/folder", "a/folder", "", ""),
        ("a/folder:part", "a/folder", "", "part"),
        ("./folder:part", "folder", "", "part"),
        ("/a/folder:part", "/a/folder", "", "part"),
    ],
)
def test_a_reference_is_written_as_it_is_read(text, path, module, function):
    found = Reference.parse(text)
    assert found == Reference(None if path is None else Path(path), module, function)
    assert str(found) == text
    assert Reference.parse(str(found.bare())).function == function
