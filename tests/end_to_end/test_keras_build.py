"""A Keras model in every format, from the command and a folder of images to the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.core.ledger import Ledger
from mobilesdk.core.structure import StructureRecord
from tests import keras_models

pytestmark = pytest.mark.slow

TARGETS = ("android-npu", "android-xnnpack", "apple-ane", "apple-coreai")
PRUNED = {
    "profile": "pruned",
    "compress": ({"method": "prune_channels", "ratio": 0.25}, {"method": "quantize_static"}),
    "budget": "[budget.any]\nmin_sqnr_db = 0.0\n",
}
CONTRACT = {
    "inputs": [
        {
            "name": "image",
            "shape": [1, 32, 32, 3],
            "dtype": "float32",
            "preparation": {
                "kind": "image",
                "size": [32, 32],
                "mean": 0.0,
                "std": 1.0,
                "layout": "NHWC",
            },
        }
    ],
    "outputs": [{"name": "scores", "shape": [1, 10], "dtype": "float32", "kind": "other"}],
}


def write_photos(folder: Path, seed: int) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(seed)
    for number in range(40):
        blocks = generator.integers(0, 256, size=(5, 5, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((40, 36)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def bundle(command_line) -> Path:
    """Build the small MobileNet for every format, and once with fewer channels."""
    folder = command_line.folder
    keras_models.save(
        keras_models.images(keras_models.keras_on_torch()), folder / "mobilenet.keras"
    )
    (folder / "contract.json").write_text(json.dumps(CONTRACT))
    pruned = command_line.target("phone-pruned", format="litert", **PRUNED)
    result = command_line(
        *("build", folder / "mobilenet.keras", "--contract", folder / "contract.json"),
        *(part for target in (*TARGETS, pruned) for part in ("--target", target)),
        *("--calibration", write_photos(folder / "calibration", 1)),
        *("--evaluation", write_photos(folder / "evaluation", 2)),
        *("--output", folder / "bundle"),
    )
    assert result.code == 0, result.out + result.err
    return folder / "bundle"


def test_every_format_holds_the_model_and_the_ledger_names_its_layers(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.releasable
    (model,) = manifest.models
    assert {variant.format for variant in model.variants} == {
        "coreai",
        "coreml",
        "executorch",
        "litert",
    }
    for variant in model.variants:
        records = bundle / "records" / variant.target / "mobilenet"
        ledger = Ledger.model_validate_json((records / "ledger.json").read_bytes())
        weights = {entry.name for entry in ledger.entries if entry.kind == "weight"}
        assert {"stem.kernel", "depthwise.kernel", "head.kernel", "scores.kernel"} <= weights
        assert not ledger.different
    structure = StructureRecord.model_validate_json(
        (bundle / "records/phone-pruned/mobilenet/structure.json").read_bytes()
    )
    assert structure.after.macs < structure.before.macs
    removed = {(each.weight, each.axis): len(each.indices) for each in structure.removed}
    assert removed["head.kernel", 0] == removed["scores.kernel", 1] == 8
