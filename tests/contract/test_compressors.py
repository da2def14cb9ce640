"""What every compression method has to hold to; a new file in the folder is tested by itself."""

import hashlib
import inspect
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.form import Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import CompressionRecord, Request
from mobilesdk.core.step import StepConfig, StepContext
from mobilesdk.graph.program import export_program, load_program
from mobilesdk.graph.records import read_summary
from mobilesdk.plugins import discovery
from mobilesdk.plugins.contract import Compressor
from tests.programs import write_program

METHODS = discovery.names(discovery.Kind.COMPRESSORS)
HEADINGS = ("What it does:", "When to use:", "Cost:", "Limits:", "References:")
REQUIRED_FIELDS: dict[str, dict[str, Any]] = {
    "prune_channels": {"ratio": 0.2},
    "sparsify": {"ratio": 0.5},
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 80, 3)
        self.linear = nn.Linear(80, 40)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.conv(x).relu().mean((2, 3)))


class Calibration:
    digest = "0" * 64

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        generator = np.random.default_rng(0)
        for _ in range(len(self)):
            yield {"x": generator.normal(size=(1, 3, 8, 8)).astype(np.float32)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    program = export_program(Net().eval(), [torch.zeros(1, 3, 8, 8)])
    contract = Contract(
        inputs=(InputSpec(name="x", shape=(1, 3, 8, 8), dtype="float32"),),
        outputs=(OutputSpec(name="scores", shape=(1, 40), dtype="float32"),),
    )
    return write_program(program, contract, folder, "vision")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plugin(method: str) -> Compressor:
    return discovery.compressor(method)


@pytest.fixture
def config(method: str, plugin: Compressor) -> StepConfig:
    return plugin.config.model_validate(REQUIRED_FIELDS.get(method, {}))


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def apply(plugin: Compressor, model: Model, config: StepConfig, output: Path) -> Model:
    output.mkdir()
    return plugin.apply(model, config, StepContext(output=output, calibration=Calibration()))


def test_it_imports_without_its_toolchain(method: str) -> None:
    code = (
        "import sys; from mobilesdk.plugins import discovery;"
        f"plugin = discovery.compressor({method!r});"
        f"plugin.config.model_validate({REQUIRED_FIELDS.get(method, {})!r});"
        "heavy = {'torch', 'tensorflow', 'coremltools', 'executorch'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_it_explains_itself(method: str) -> None:
    documentation = inspect.getdoc(import_module(f"mobilesdk.compressors.{method}")) or ""
    places = [documentation.find(heading) for heading in HEADINGS]
    assert -1 not in places
    assert places == sorted(places)


def test_it_declares_forms_and_traits_that_go_together(plugin: Compressor) -> None:
    assert plugin.accepts
    assert not plugin.requires & plugin.forbids
    assert plugin.tools


def test_unknown_fields_are_refused(method: str, plugin: Compressor) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        plugin.config.model_validate({**REQUIRED_FIELDS.get(method, {}), "unknown_field": 1})


def test_fields_survive_json_and_have_a_schema(plugin: Compressor, config: StepConfig) -> None:
    assert plugin.config.model_validate_json(config.model_dump_json()) == config
    assert plugin.config.model_json_schema()["additionalProperties"] is False


def test_it_writes_a_model_of_the_same_form(
    plugin: Compressor, model: Model, config: StepConfig, tmp_path: Path
) -> None:
    before = digests(model.path.parent)
    result = apply(plugin, model, config, tmp_path / "out")
    assert digests(model.path.parent) == before
    assert result.form is model.form
    assert result.traits == model.traits | plugin.adds
    own = {"compression", "structure"} if Trait.PRUNED in plugin.adds else {"compression"}
    assert set(result.sidecars) == {*model.sidecars, *own}
    named = {result.path, *result.sidecars.values()}
    assert {path.parent for path in named} == {tmp_path / "out"}
    assert {path.name for path in named} == set(digests(tmp_path / "out"))
    program = load_program(result.path)
    assert program.module(check_guards=False)(torch.ones(1, 3, 8, 8))[0].isfinite().all()


def test_it_records_what_it_asked_for(
    method: str, plugin: Compressor, model: Model, config: StepConfig, tmp_path: Path
) -> None:
    result = apply(plugin, model, config, tmp_path / "out")
    record = CompressionRecord.model_validate_json(result.sidecars["compression"].read_text())
    request = plugin.request(config, Request())
    assert record.methods == (method,)
    assert record.activations == request.activations
    rounded = set() if Trait.PRUNED in plugin.adds else {"conv.weight", "linear.weight"}
    assert {weight.name for weight in record.weights} == rounded
    for weight in record.weights:
        assert weight.planned == request.weights[weight.role]
        assert weight.reason == ""


def test_it_gives_the_same_bytes_twice(
    plugin: Compressor, model: Model, config: StepConfig, tmp_path: Path
) -> None:
    apply(plugin, model, config, tmp_path / "one")
    apply(plugin, model, config, tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_it_stays_near_the_float_model(
    plugin: Compressor, model: Model, config: StepConfig, tmp_path: Path
) -> None:
    result = apply(plugin, model, config, tmp_path / "out")
    before, after = load_program(model.path).state_dict, load_program(result.path).state_dict
    if Trait.PRUNED in plugin.adds:
        assert after["conv.weight"].shape == (64, 3, 3, 3)
        assert after["linear.weight"].shape == (40, 64)
        return
    for name in ("conv.weight", "linear.weight"):
        error = (after[name] - before[name]).norm() / before[name].norm()
        assert 0 < error < (0.4 if Trait.SPARSE in plugin.adds else 0.05)


def test_it_refuses_nothing_in_an_ordinary_model(
    plugin: Compressor, model: Model, config: StepConfig
) -> None:
    assert plugin.refuse(config, read_summary(model)) == []


def test_needs_are_known_before_anything_runs(plugin: Compressor, config: StepConfig) -> None:
    assert plugin.needs(config) in {Needs.NONE, Needs.CALIBRATION, Needs.TRAINING}
