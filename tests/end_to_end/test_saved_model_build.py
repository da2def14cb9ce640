"""A MobileNetV2 that Keras wrote as a SavedModel, from the command to the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.core.ledger import Ledger
from tests.end_to_end.test_keras_build import write_photos
from tests.frontends import saved_models

pytestmark = pytest.mark.slow

TARGETS = ("android-gpu", "apple-legacy")
PREPARATION = {
    "kind": "image",
    "size": [32, 32],
    "mean": 127.5,
    "std": 127.5,
    "layout": "NHWC",
}
CONTRACT = {
    "inputs": [
        {"name": "pixels", "shape": [1, 32, 32, 3], "dtype": "float32", "preparation": PREPARATION}
    ],
    "outputs": [{"name": "scores", "shape": [1, 10], "dtype": "float32", "kind": "other"}],
}


@pytest.fixture
def bundle(command_line) -> Path:
    folder = command_line.folder
    saved_models.write_apart("mobilenet", folder / "mobilenet")
    (folder / "contract.json").write_text(json.dumps(CONTRACT))
    result = command_line(
        *("build", folder / "mobilenet", "--contract", folder / "contract.json"),
        *(part for target in TARGETS for part in ("--target", target)),
        *("--calibration", write_photos(folder / "calibration", 1)),
        *("--evaluation", write_photos(folder / "evaluation", 2)),
        *("--output", folder / "bundle"),
    )
    assert result.code == 0, result.out + result.err
    return folder / "bundle"


def test_a_saved_model_is_built_for_every_target(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.releasable
    (model,) = manifest.models
    scores = load_file(bundle / model.golden_outputs)["scores"]
    assert scores.std(axis=0).mean() > 0.1 * np.abs(scores).mean()  # they depend on the image
    assert [each.name for each in model.contract.inputs] == ["pixels"]
    assert {variant.target for variant in model.variants} == set(TARGETS)
    for variant in model.variants:
        assert all(gate.verdict == "passed" for gate in variant.gates)
        records = bundle / "records" / variant.target / "mobilenet"
        ledger = Ledger.model_validate_json((records / "ledger.json").read_bytes())
        weights = {entry.name for entry in ledger.entries if entry.kind == "weight"}
        assert {"Conv1.kernel", "expanded_conv_depthwise.kernel", "predictions.kernel"} <= weights
        assert not ledger.different
