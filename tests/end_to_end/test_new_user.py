"""A network of a user who has read the README, through the command, on the cheap targets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.core.ledger import Ledger

pytestmark = pytest.mark.slow

MODEL = Path(__file__).with_name("new_user_model.py")
TARGETS = ("android-xnnpack", "android-xnnpack-litert", "apple-ane", "android-low-end")
SCENES = 4
PER_SCENE = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model's file, and photos of a few scenes under changing light."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(MODEL, folder / "my_model.py")
    scenes = np.random.default_rng(0).uniform(0, 255, (SCENES, 6, 6, 3))
    for seed, name in enumerate(("calibration", "evaluation"), start=1):
        photos = folder / "photos" / name
        photos.mkdir(parents=True)
        generator = np.random.default_rng(seed)
        for number in range(SCENES * PER_SCENE):
            noise = generator.normal(0, 12, scenes[0].shape)
            pixels = (scenes[number % SCENES] + noise).clip(0, 255).astype(np.uint8)
            large = Image.fromarray(pixels).resize((80, 80), Image.Resampling.BICUBIC)
            large.save(photos / f"{number:02}.png")
    return folder


def test_a_network_of_ones_own_reaches_its_targets(folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "mobilesdk", "build", "my_model.py:build"),
        *("--calibration", "photos/calibration", "--evaluation", "photos/evaluation"),
        *("--output", "bundle"),
        *(part for target in TARGETS for part in ("--target", target)),
    ]
    environment = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    manifest = read_manifest(folder / "bundle")
    assert manifest.releasable
    (model,) = manifest.models
    assert {variant.target for variant in model.variants} == set(TARGETS)
    for variant in model.variants:
        ledger = Ledger.model_validate_json(
            (folder / "bundle" / variant.records["ledger"]).read_text()
        )
        assert [entry.name for entry in ledger.different] == [], variant.target
        sqnr_db = [gate.value for gate in variant.gates if gate.name == "min_sqnr_db"]
        assert sqnr_db, variant.target
        assert all(value is not None and value >= 20 for value in sqnr_db), variant.target
