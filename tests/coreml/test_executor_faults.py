"""Faults that a converter or a disk may make, put into a sound package: each is caught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mobilesdk.coreml import load
from mobilesdk.errors import ArtifactInvalid, FileRejected
from mobilesdk.numerics.metrics import sqnr_db
from tests.coreml.programs import Function, Text, write

SINGLE = "float32"
RANDOM = np.random.default_rng(0)
CONV = RANDOM.normal(size=(8, 3, 3, 3)).astype(np.float32)
LEFT = RANDOM.normal(size=(8, 8)).astype(np.float32)
RIGHT = RANDOM.normal(size=(8, 8)).astype(np.float32)
X = RANDOM.normal(size=(1, 3, 9, 9)).astype(np.float32)
SOUND_DB = 100.0
CAUGHT_DB = 40.0


def reference() -> np.ndarray:
    padded = functional.pad(torch.from_numpy(X), (0, 1, 0, 1))
    features = functional.conv2d(padded, torch.from_numpy(CONV), stride=2).clamp(0, 6)
    pooled = features.mean((2, 3))
    result: np.ndarray = (pooled @ torch.from_numpy(LEFT) @ torch.from_numpy(RIGHT)).numpy()
    return result


def package(root: Path, **changes: Any) -> Path:
    """Write the network of `reference`, with changes."""
    made = Function({"x": (SINGLE, X.shape)}, ("y",))
    body, settings = made.body, {"pad": [0, 1, 0, 1], "stride": 2, "limit": 6} | changes
    conv, left, right = (
        body.const(name, settings.get(name, values))
        for name, values in (("conv", CONV), ("left", LEFT), ("right", RIGHT))
    )
    body.op(
        "conv",
        {"a": (SINGLE, (1, 8, 4, 4))},
        x="x",
        weight=conv,
        strides=np.full(2, settings["stride"], np.int32),
        pad_type=Text("custom"),
        pad=np.array(settings["pad"], np.int32),
    )
    limit = np.float32(settings["limit"])
    body.op("clip", {"b": (SINGLE, (1, 8, 4, 4))}, x="a", alpha=np.float32(0), beta=limit)
    axes = np.array([2, 3], np.int32)
    body.op("reduce_mean", {"c": (SINGLE, (1, 8))}, x="b", axes=axes, keep_dims=np.bool_(False))
    flip = np.bool_(settings.get("transposed", False))
    body.op("matmul", {"d": (SINGLE, (1, 8))}, x="c", y=left, transpose_y=flip)
    body.op("matmul", {"y": (SINGLE, (1, 8))}, x="d", y=right)
    return write(root / "m", made)


def distance_db(path: Path) -> float:
    return float(sqnr_db(reference(), load(path).predict({"x": X})["y"]))


def test_the_sound_package_agrees(tmp_path: Path) -> None:
    assert distance_db(package(tmp_path)) > SOUND_DB


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"pad": [1, 0, 1, 0]}, id="pad shifted"),
        pytest.param({"pad": [0, 1, 1, 0]}, id="one pad shifted"),
        pytest.param({"limit": 5}, id="ReLU6 made ReLU5"),
        pytest.param({"left": RIGHT, "right": LEFT}, id="two weights swapped"),
        pytest.param({"transposed": True}, id="transposed matmul"),
        pytest.param({"conv": CONV[:, ::-1].copy()}, id="channels reversed"),
    ],
)
def test_a_fault_of_conversion_shows_in_the_distance(tmp_path: Path, changes: Any) -> None:
    assert distance_db(package(tmp_path, **changes)) < CAUGHT_DB


def test_a_changed_stride_contradicts_the_declared_shape(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactInvalid, match=r"conv a: windows \[8, 8\], but the result is declared \[4, 4\]"
    ):
        distance_db(package(tmp_path, stride=1))


def test_a_pad_beyond_all_memory_is_seen_before_it_is_computed(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="declared"):
        distance_db(package(tmp_path, pad=[0, 1 << 30, 0, 1 << 30]))


@pytest.mark.parametrize("kept", [0, 64, 100, 512, 1200])
def test_a_truncated_weight_file_is_rejected(tmp_path: Path, kept: int) -> None:
    path = package(tmp_path)
    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(FileRejected):
        distance_db(path)


@pytest.mark.parametrize("place", [64, 68, 72, 80, 88])
def test_a_corrupted_record_is_rejected(tmp_path: Path, place: int) -> None:
    path = package(tmp_path)
    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    content = bytearray(weights.read_bytes())
    content[place + 3] ^= 0x55
    weights.write_bytes(content)
    with pytest.raises(FileRejected):
        distance_db(path)


def test_corrupted_data_show_in_the_distance(tmp_path: Path) -> None:
    path = package(tmp_path)
    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    content = bytearray(weights.read_bytes())
    content[128:192] = RANDOM.bytes(64)
    weights.write_bytes(content)
    found = load(path).predict({"x": X})["y"]
    assert not np.isfinite(found).all() or sqnr_db(reference(), found) < CAUGHT_DB
