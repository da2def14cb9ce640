"""The example models by the shipped targets and profiles, as the README builds them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilesdk.bundle.manifest import Manifest, Variant, read_manifest
from mobilesdk.core.gate import Verification
from mobilesdk.core.ledger import Ledger
from mobilesdk.plugins import runtime
from mobilesdk.targets import shipped
from tests.conftest import CommandLine

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
Build = Callable[..., Manifest]
MINILM_TARGETS = ("android-xnnpack", "apple-ane")  # a transformer costs most


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    subprocess.run(
        [sys.executable, "-m", "examples.make_data", str(folder)], cwd=REPOSITORY, check=True
    )
    return folder


@pytest.fixture
def build(command_line: CommandLine, data: Path) -> Build:
    """Build an example with the command; it must exit with 0."""

    def run(model: str, sets: str, suffix: str, *targets: str) -> Manifest:
        output = command_line.folder / "bundle"
        result = command_line(
            *("build", f"{REPOSITORY / 'examples' / model}.py:build", "--output", output),
            *(part for target in targets for part in ("--target", target)),
            *("--calibration", data / sets / f"calibration{suffix}"),
            *("--evaluation", data / sets / f"evaluation{suffix}"),
        )
        assert result.code == 0, result.out[-3000:] + result.err[-3000:]
        return read_manifest(output)

    return run


def variants(manifest: Manifest) -> dict[str, Variant]:
    (model,) = manifest.models
    return {variant.target: variant for variant in model.variants}


def value(variant: Variant, gate_name: str) -> float:
    """Give the worst value that gates of a name found over the outputs."""
    return min(
        gate.value for gate in variant.gates if gate.name == gate_name and gate.value is not None
    )


def require_sound(manifest: Manifest, bundle: Path) -> None:
    """Every variant was executed and passed, and its file holds just what was planned."""
    assert manifest.releasable
    assert manifest.failures == ()
    for target, variant in variants(manifest).items():
        plugin = runtime(variant.format)
        executed_by = plugin.executes_by(plugin.inspect(bundle / variant.artifact))
        assert variant.verification is (
            Verification.VERIFIED_BY_REFERENCE
            if executed_by == "reference"
            else Verification.VERIFIED_ON_HOST
        ), target
        assert {gate.verdict for gate in variant.gates} == {"passed"}, target
        ledger = Ledger.model_validate(json.loads((bundle / variant.records["ledger"]).read_text()))
        assert [entry.name for entry in ledger.different] == [], target


def require_example(manifest: Manifest, family: str, kinds: dict[str, str]) -> None:
    """The model is what the README says, and its sets are large enough for figures."""
    (model,) = manifest.models
    assert model.family == family
    assert {output.name: output.kind for output in model.contract.outputs} == kinds
    for variant in model.variants:
        assert variant.evaluation is not None
        assert variant.evaluation.count >= 40
        assert variant.calibration is None or variant.calibration.count >= 64


def test_efficientnet_lite0_keeps_its_answers_in_int8(build: Build, tmp_path: Path) -> None:
    manifest = build("efficientnet_lite0", "photos", "", "android-xnnpack", "android-npu")
    require_sound(manifest, tmp_path / "bundle")
    require_example(manifest, "vision", {"logits": "classification"})
    built = variants(manifest)
    assert {variant.format for variant in built.values()} == {"executorch", "litert"}
    for variant in built.values():
        assert value(variant, "min_top1_agreement") >= 0.95
        assert value(variant, "min_sqnr_db") >= 21
        assert variant.calibration is not None
        assert variant.calibration.count >= 96


def test_two_inputs_and_two_outputs_reach_every_tier(build: Build, tmp_path: Path) -> None:
    manifest = build("two_inputs", "two_inputs", ".npz")
    require_sound(manifest, tmp_path / "bundle")
    require_example(manifest, "vision", {"scores": "other", "mask": "mask"})
    assert set(variants(manifest)) == set(shipped())


def test_minilm_keeps_its_embeddings(build: Build, tmp_path: Path) -> None:
    manifest = build("minilm", "sentences", ".npz", *MINILM_TARGETS)
    require_sound(manifest, tmp_path / "bundle")
    require_example(manifest, "transformer", {"embedding": "embedding"})
    built = variants(manifest)
    assert set(built) == set(MINILM_TARGETS)
    for variant in built.values():
        assert value(variant, "min_cosine") >= 0.95
