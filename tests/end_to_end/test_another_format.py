"""A format that nobody here knows is two files: an exporter and a runtime of one name."""

import json

import pytest

from mobilesdk.bundle.manifest import read_manifest
from tests.conftest import LINEAR

EXPORTER = """
import json

from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation
from mobilesdk.graph.records import complete_record
from mobilesdk.lowering.expectation import expected_weight, exported
from mobilesdk.plugins import ExportOptions

plugin_api = 1


class Options(ExportOptions):
    takes_fallback = False
    indent: int = 0


class Numbers:
    options = Options
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".numbers"

    def needs(self, request):
        return Needs.NONE

    def refuse(self, options, request, summary):
        return [
            f"numbers are written at full length, not as {scheme}"
            for scheme in request.weights.values()
            if scheme.encoding != "float"
        ]

    def apply(self, model, options, context):
        from mobilesdk.graph.program import load_program, tensors_by_name

        tensors = tensors_by_name(load_program(model.path))
        arrays = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
        artifact = context.output / "model.numbers"
        numbers = {name: array.tolist() for name, array in arrays.items()}
        artifact.write_text(json.dumps(numbers, indent=options.indent or None))
        record = complete_record(model)
        expectation = Expectation(
            weights=tuple(
                expected_weight(weight, arrays[weight.name], artifact_name=weight.name)
                for weight in record.weights
            ),
            activations=record.activations,
        )
        return exported(model, "numbers", artifact, expectation)


PLUGIN = Numbers()
"""
RUNTIME = """
import json

import numpy as np

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, TensorInfo, WeightInfo
from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.numerics.fingerprint import fingerprint

plugin_api = 1


class Numbers:
    tools = ()
    preloads = ()
    suffix = ".numbers"

    def inspect(self, path):
        weight = _read(path)["weight"]
        return ArtifactInfo(
            format="numbers",
            size_bytes=path.stat().st_size,
            inputs=(TensorInfo(name="x", shape=(1, 4), dtype="float32"),),
            outputs=(TensorInfo(name="scores", shape=(1, 3), dtype="float32"),),
            weights=(
                WeightInfo(
                    name="weight",
                    op="linear",
                    shape=weight.shape,
                    scheme=WeightScheme(),
                    size_bytes=weight.nbytes,
                    finite=bool(np.isfinite(weight).all()),
                    fingerprint=fingerprint(weight),
                ),
            ),
            ops=(OpInfo(name="0", type="linear", dtype="float32"),),
            keeps_names=True,
        )

    def executes_by(self, info):
        return "runtime"

    def refuses(self, info):
        return ""

    def load(self, path, contract, threads):
        return Session(_read(path))


class Session:
    def __init__(self, numbers):
        self._numbers = numbers

    def run(self, inputs):
        return {"scores": inputs["x"] @ self._numbers["weight"].T + self._numbers["bias"]}

    def findings(self):
        return ()


def _read(path):
    try:
        numbers = json.loads(path.read_text())
        return {name: np.array(numbers[name], np.float32) for name in ("weight", "bias")}
    except (OSError, ValueError, KeyError) as error:
        raise FileRejected(f"{path.name} holds no numbers: {error}") from error


PLUGIN = Numbers()
"""


@pytest.fixture
def plugins(tmp_path):
    """The two files, each in a folder named after its kind."""
    files = []
    for kind, text in (("exporters", EXPORTER), ("runtimes", RUNTIME)):
        (tmp_path / kind).mkdir()
        files.append(tmp_path / kind / "numbers.py")
        files[-1].write_text(text)
    return files


@pytest.fixture
def build_numbers(command_line, sets, plugins):
    def run(*, compress=(), given=tuple(plugins)):
        budget = "[budget.any]\nmin_sqnr_db = 60.0\n"
        target = command_line.target("pocket", compress=compress, budget=budget, indent=1)
        target.write_text(target.read_text().replace('"plain"\nindent', '"numbers"\nindent'))
        return command_line(
            *("build", LINEAR, "--target", target, "--json"),
            *("--calibration", sets / "calibration.npz", "--evaluation", sets / "evaluation.npz"),
            *(part for plugin in given for part in ("--plugin", plugin)),
            *("--output", command_line.folder / "bundle"),
        )

    return run


def test_a_build_writes_checks_and_runs_it(build_numbers, command_line, plugins):
    result = build_numbers()
    assert result.code == 0, result.err
    (variant,) = read_manifest(command_line.folder / "bundle").models[0].variants
    assert variant.format == "numbers"
    assert variant.verification.value == "verified_on_host"
    assert [gate.verdict for gate in variant.gates] == ["passed"]
    artifact = command_line.folder / "bundle" / variant.artifact
    assert artifact.suffix == ".numbers"
    assert len(json.loads(artifact.read_text())["weight"]) == 3
    ledger = json.loads((command_line.folder / "bundle" / variant.records["ledger"]).read_text())
    assert [entry["status"] for entry in ledger["entries"]] == ["as_requested", "as_requested"]
    given = [part for plugin in plugins for part in ("--plugin", plugin)]
    assert command_line("verify", command_line.folder / "bundle", *given).code == 0
    shown = command_line("inspect", artifact, *given, "--json")
    assert shown.json["format"] == "numbers"


def test_what_it_cannot_store_is_refused_before_anything_runs(build_numbers):
    result = build_numbers(compress=[{"method": "quantize_weights", "bias_correction": False}])
    assert result.code == 2
    assert "full length, not as int8/channel" in result.err


def test_an_exporter_without_its_runtime_is_refused(build_numbers, plugins):
    result = build_numbers(given=plugins[:1])
    assert result.code == 2
    assert "runtime" in result.err
    assert "numbers" in result.err
