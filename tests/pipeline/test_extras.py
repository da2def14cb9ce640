"""Metrics and assets of a project: what is refused, and how they come out of a build."""

import json
import shutil

import numpy as np
import pytest

from mobilesdk.bundle.canonical import canonical_json
from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.errors import UsageError
from mobilesdk.pipeline.project import read_project, read_request
from mobilesdk.pipeline.request import single
from tests.conftest import LINEAR, PLUGINS


def project(folder, more):
    path = folder / "mobilesdk.toml"
    path.write_text(f'schema_version = 1\n[[models]]\nmodel = "{LINEAR}"\n{more}')
    return path


def asset(path, role="labels"):
    return f'[[models.assets]]\npath = "{path}"\nrole = "{role}"\n'


def metric(name="accuracy", function="metrics.py:accuracy", limit="min = 0.5"):
    return f'[[models.metrics]]\nname = "{name}"\nfunction = "{function}"\n{limit}\n'


@pytest.fixture
def files(tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "labels.txt").write_text("d\n")
    (tmp_path / "link.txt").symlink_to("labels.txt")
    (tmp_path / "linked").symlink_to("sub")
    (tmp_path / "metrics.py").write_text("def accuracy(outputs, labels): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (asset("../labels.txt"), "outside of the project"),
        (asset("/etc/hostname"), "outside of the project"),
        (asset("link.txt"), "through, a link"),
        (asset("linked/labels.txt"), "through, a link"),
        (asset("nothing.txt"), "There is no file"),
        (asset("sub"), "There is no file"),
        (asset("labels.txt") + asset("sub/labels.txt"), "Two assets are named 'labels.txt'"),
        (asset("labels.txt", role="music"), "role"),
        (metric(function="nothing.py:accuracy"), "which is no function"),
        (metric(function="metrics.py"), "which is no function"),
        (metric(limit=""), "needs a limit"),
        (metric(name="a b"), "name"),
        (metric() + metric(), "Two metrics are named 'accuracy'"),
    ],
)
def test_what_a_project_may_not_add_is_refused(files, more, message):
    with pytest.raises(UsageError, match=message):
        read_project(project(files, more))


def test_places_are_relative_to_the_project(files):
    (model,), _ = read_project(project(files, asset("sub/labels.txt") + metric()))
    assert model.assets[0].path == files / "sub" / "labels.txt"
    assert model.metrics[0].function == f"{files / 'metrics.py'}:accuracy"


def build(command_line, *arguments):
    plugins = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
    return command_line("build", *plugins, "--output", "bundle", "--overwrite", *arguments)


@pytest.fixture
def made(command_line, sets, files, monkeypatch):
    """Build a project with a metric, labels, and three assets, two of which are equal."""
    command_line.target("tier", budget="[budget.any]\nmin_sqnr_db = 20.0\n")
    (files / "sub" / "copy.txt").write_text("a\nb\nc\n")
    values = np.load(sets / "evaluation.npz")["x"]
    np.savez(files / "evaluation.npz", x=values, labels=np.zeros(40, np.int64))
    (files / "metrics.py").write_text(
        "def accuracy(outputs, labels):\n"
        "    return (outputs['scores'].argmax(-1) == labels).mean()\n"
    )
    project(
        files,
        f'calibration = "{sets / "calibration.npz"}"\nevaluation = "evaluation.npz"\n'
        + metric(limit="min = 0.99\nmax_drop = 0.01")
        + asset("labels.txt")
        + asset("sub/copy.txt", role="other"),
    )
    monkeypatch.chdir(files)
    return build(command_line, "--target", "tier.toml")


def test_a_build_judges_the_metric_and_carries_the_assets(made, command_line, files):
    assert made.code == 1, made.err  # not all of 40 samples are of class 0
    manifest = read_manifest(files / "bundle")
    (model,) = manifest.models
    gates = {gate.name: gate for gate in model.variants[0].gates}
    assert gates["min_accuracy"].verdict == "failed"
    assert gates["max_drop_of_accuracy"].verdict == "passed"
    assert model.variants[0].verification == "failed_gate"
    first, second = model.assets
    assert (first.name, first.role, second.name) == ("labels.txt", "labels", "copy.txt")
    assert first.path == second.path
    assert (files / "bundle" / first.path).read_text() == "a\nb\nc\n"
    assert [entry.role for entry in manifest.files].count("asset") == 1

    plugins = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
    result = command_line("verify", "bundle", *plugins, "--json")
    assert result.code == 1, result.err
    (failed,) = [check for check in result.json["checks"] if check["verdict"] == "failed"]
    assert "min_accuracy" in failed["detail"]

    (files / "bundle" / first.path).write_text("a\nb\nx\n")
    assert command_line("verify", "bundle", *plugins).code == 7
    (files / "bundle" / first.path).write_text("a\nb\nc\n")
    path = files / "bundle" / "manifest.json"
    data = json.loads(path.read_bytes())
    data["models"][0]["assets"][1]["name"] = "labels.txt"
    path.write_bytes(canonical_json(data))
    result = command_line("verify", "bundle", *plugins)
    assert (result.code, "two assets of one name" in result.err) == (7, True)
    data["models"][0]["assets"] = []
    path.write_bytes(canonical_json(data))
    result = command_line("verify", "bundle", *plugins)
    assert (result.code, "not those that the models name" in result.err) == (7, True)
    data["models"][0]["assets"] = [{"name": "..", "role": "other", "path": first.path}]
    path.write_bytes(canonical_json(data))
    assert command_line("verify", "bundle", *plugins).code == 7

    (files / "metrics.py").write_text("def accuracy(outputs, labels):\n    return labels.nothing\n")
    shutil.rmtree(files / "bundle")
    result = build(command_line, "--target", "tier.toml")
    assert (result.code, "line 2, in accuracy" in result.err) == (6, True), result.err


def test_functions_of_a_project_lie_beside_it_and_files_come_first(files):
    (files / "odd.py:name").mkdir()
    (model,), _ = read_project(
        project(
            files,
            'tokenizer = "metrics.py:accuracy"\ncalibration = "metrics.py:samples"\n'
            'evaluation = "odd.py:name"\n',
        )
    )
    assert model.tokenizer == f"{files / 'metrics.py'}:accuracy"
    assert str(model.calibration) == f"{files / 'metrics.py'}:samples"
    assert model.evaluation == files / "odd.py:name"
    (model,), _ = read_project(project(files, 'calibration = "package.module:samples"\n'))
    assert str(model.calibration) == "package.module:samples"


def test_a_tokenizer_that_is_no_function_is_refused(files):
    with pytest.raises(UsageError, match=r"tokenizer 'nothing\.py:f' is no function"):
        read_project(project(files, 'tokenizer = "nothing.py:f"\n'))
    with pytest.raises(UsageError, match="is no function"):
        single(LINEAR, tokenizer="no_such_module:f")
    with pytest.raises(UsageError, match="without a MODEL"):
        read_request(None, tokenizer="no_such_module:f")
