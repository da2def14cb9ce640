"""What holds for every frontend."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.plugins import discovery
from mobilesdk.plugins.contract import Frontend
from tests.apart import result_of
from tests.toolchains import TOOLCHAINS

NAMES = discovery.names(discovery.Kind.FRONTENDS)
WRITTEN = {
    "dependencies.json",
    "example.safetensors",
    "original.pt2",
    "program.pt2",
    "summary.json",
}
SOURCE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Flatten(),
                        nn.Linear(288, 4))
    return net.eval(), (torch.zeros(1, 3, 8, 8),)
"""


def write_source(folder):
    (folder / "tiny_model.py").write_text(SOURCE)
    return f"{folder / 'tiny_model.py'}:build"


def write_program(folder):
    import torch

    found = {}
    exec(SOURCE, found)
    module, example = found["build"]()
    torch.export.save(torch.export.export(module, example), folder / "tiny_model.pt2")
    return str(folder / "tiny_model.pt2")


def write_keras(folder):
    from tests import keras_models

    keras = keras_models.keras_on_torch()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="conv"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.Flatten(),
            layers.Dense(4, name="dense"),
        ]
    )
    return str(keras_models.save(model, folder / "tiny_model.keras"))


def write_saved_model(folder):
    from tests.frontends import saved_models

    saved_models.write_apart("tiny", folder / "tiny_model")
    return str(folder / "tiny_model")


WRITERS = {
    "keras": write_keras,
    "saved_model": write_saved_model,
    "torch": write_source,
    "torch_export": write_program,
}
"""For each frontend, what writes the same small model for it and gives its reference."""
APART = {"saved_model"}
"""Those whose framework must not be imported beside coremltools, which other tests may import."""

pytestmark = pytest.mark.parametrize("name", NAMES)


def apart(*arguments):
    return result_of("-m", "tests.contract.frontend_worker", *arguments)


def read(name, reference, output):
    output.mkdir()
    plugin = discovery.frontend(name)
    assert plugin.claims(reference)
    if name in APART:
        return Model.model_validate_json(apart(name, reference, str(output)))
    return plugin.read(ModelSource(reference=reference), StepContext(output=output))


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_it_offers_what_a_frontend_has_to(name):
    plugin = discovery.frontend(name)
    assert isinstance(plugin, Frontend)
    assert all(tool.distribution and tool.extra for tool in plugin.tools)


def test_it_is_described_under_the_headings(name):
    text = discovery.source_path(discovery.Kind.FRONTENDS, name).read_text()
    places = [text.index(f"\n{heading}") for heading in
              ("What it does", "When to use", "Cost", "Limits", "References")]  # fmt: skip
    assert places == sorted(places)


def test_it_imports_and_claims_without_a_toolchain(name):
    code = f"""
import sys
from mobilesdk.plugins import discovery
discovery.frontend({name!r}).claims("module:function")
print([tool for tool in {TOOLCHAINS} if tool in sys.modules])
"""
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


@pytest.mark.parametrize("reference", ["", ":", "model", "model:", ":build", "a b:c", "x.py:1"])
def test_it_claims_no_nonsense(name, reference):
    assert not discovery.frontend(name).claims(reference)


@pytest.mark.slow
def test_it_writes_its_files_and_nothing_else_and_the_same_ones_again(name, tmp_path):
    reference = WRITERS[name](tmp_path)
    (model,) = tmp_path.iterdir()
    first = read(name, reference, tmp_path / "first")
    second = read(name, reference, tmp_path / "second")
    written = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert written == {model.name, "first", "second"}
    assert set(digests(tmp_path / "first")) == WRITTEN
    assert digests(tmp_path / "first") == digests(tmp_path / "second")

    plugin = discovery.frontend(name)
    assert (first.form, first.traits) == (plugin.form, plugin.traits)
    assert (plugin.form, plugin.traits) == (Form.EXPORTED_PROGRAM, frozenset({Trait.FOLDED}))
    assert first.path == tmp_path / "first" / "program.pt2"
    assert second.sidecars["summary"].parent == tmp_path / "second"
    summary = ModelSummary.model_validate_json(first.sidecars["summary"].read_bytes())
    assert [weight.role for weight in summary.weights] == ["conv", "linear"]
    known = json.loads((tmp_path / "first/dependencies.json").read_text())
    files = [Path(entry["path"]) for entry in known["files"]]
    assert any(model in (path, *path.parents) for path in files)
    assert "torch" in known["distributions"]
    assert all(Path(entry["path"]).is_absolute() for entry in known["files"])
