"""The example models by the shipped targets and profiles, as the README builds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobilesdk.bundle.manifest import Manifest, Variant, read_manifest
from mobilesdk.core.gate import Verification
from mobilesdk.core.ledger import Ledger
from mobilesdk.plugins import runtime
from mobilesdk.targets import shipped

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
MINILM_TARGETS = ("android-xnnpack", "apple-ane")  # a transformer costs most


def run(*arguments: object, cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    run("examples.make_data", folder, cache=folder)
    return folder


def build(model: str, sets: Path, suffix: str, output: Path, *targets: str) -> Manifest:
    """Build an example with the real command; it must exit with 0."""
    run(
        *("mobilesdk", "build", f"examples/{model}.py:build"),
        *(part for target in targets for part in ("--target", target)),
        *("--calibration", sets / f"calibration{suffix}"),
        *("--evaluation", sets / f"evaluation{suffix}"),
        *("--output", output / "bundle"),
        cache=output / "cache",
    )
    return read_manifest(output / "bundle")


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


def test_efficientnet_lite0_keeps_its_answers_in_int8(data: Path, tmp_path: Path) -> None:
    manifest = build(
        "efficientnet_lite0", data / "photos", "", tmp_path, "android-xnnpack", "android-npu"
    )
    require_sound(manifest, tmp_path / "bundle")
    require_example(manifest, "vision", {"logits": "classification"})
    built = variants(manifest)
    assert {variant.format for variant in built.values()} == {"executorch", "litert"}
    for variant in built.values():
        assert value(variant, "min_top1_agreement") >= 0.95
        assert value(variant, "min_sqnr_db") >= 21
        assert variant.calibration is not None
        assert variant.calibration.count >= 96


def test_two_inputs_and_two_outputs_reach_every_tier(data: Path, tmp_path: Path) -> None:
    manifest = build("two_inputs", data / "two_inputs", ".npz", tmp_path)
    require_sound(manifest, tmp_path / "bundle")
    require_example(manifest, "vision", {"scores": "other", "mask": "mask"})
    assert set(variants(manifest)) == set(shipped())


def test_minilm_keeps_its_embeddings(data: Path, tmp_path: Path) -> None:
    manifest = build("minilm", data / "sentences", ".npz", tmp_path, *MINILM_TARGETS)
    require_sound(manifest, tmp_path / "bundle")
    require_example(manifest, "transformer", {"embedding": "embedding"})
    built = variants(manifest)
    assert set(built) == set(MINILM_TARGETS)
    for variant in built.values():
        assert value(variant, "min_cosine") >= 0.95
