"""Small networks, converted for every operation set, compute what torch computes; so does Apple."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.parity import execution
from benchmarks.parity.distance import distance
from benchmarks.parity.packages import TARGETS
from benchmarks.parity.page import FLOAT16_DB, FLOAT32_DB, ROOT, judge
from benchmarks.parity.reference import load_samples

pytestmark = pytest.mark.slow

NETWORKS = ("detector", "detector_nms", "decoder")
ARCHITECTURES = ("unet", "detector", "lstm", "gru", "decoder", "mobilenetv3_large_100")
PACKAGE = "iOS18-float32"
LIMITS_DB = {"float32": FLOAT32_DB, "float16": FLOAT16_DB}


def run_apart(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parity")
    run_apart("-m", "tests.coreml.parity.convert_worker", str(made), *NETWORKS)
    return made


def recorded(folder: Path, name: str, stage: str) -> Any:
    return json.loads((folder / name / f"{stage}.json").read_text())


@pytest.mark.parametrize("precision", LIMITS_DB)
@pytest.mark.parametrize("name", NETWORKS)
def test_packages_agree_with_torch_in_every_operation_set(
    folder: Path, name: str, precision: str
) -> None:
    floor = recorded(folder, name, "reference")[f"{precision}_floor"]
    found = execution.run(folder / name)
    wanted = TARGETS[-1:] if name == "decoder" else TARGETS  # states came with iOS 18
    for target in wanted:
        assert judge(found[f"{target}-{precision}"], LIMITS_DB[precision], floor["db"]), target


def test_what_does_not_convert_is_told(folder: Path) -> None:
    assert recorded(folder, "detector", "convert") == {}
    faults = recorded(folder, "decoder", "convert")
    assert set(faults) == {f"{t}-{p}" for t in TARGETS[:-1] for p in LIMITS_DB}
    assert all("State model is supported only >= iOS18" in reason for reason in faults.values())


def test_a_state_that_is_forgotten_is_seen(folder: Path) -> None:
    """Without what earlier calls left, the decoder gives something else."""
    place = folder / "decoder"
    samples, expected = (load_samples(place / f"{name}.npz") for name in ("samples", "expected"))
    path = place / "iOS18-float32.mlpackage"
    alone = [execution.predict(path, [sample])[0] for sample in samples]
    assert not judge(distance(expected, alone), FLOAT32_DB, FLOAT32_DB)


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("apple")
    run_apart("-m", "tests.coreml.parity.convert_worker", str(made), *ARCHITECTURES, PACKAGE)
    run_apart("-m", "tests.coreml.parity.apple_worker", str(made), *ARCHITECTURES)
    return made


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_apples_runtime_gives_the_same(apple: Path, name: str) -> None:
    """The float32 package here, and the ``.aimodel`` of the same module in Apple's own code."""
    found = recorded(apple, name, "coreai")
    floor = recorded(apple, name, "reference")["float32_floor"]
    assert judge(found["torch"], FLOAT32_DB, floor["db"])
    assert judge(found["executor"], FLOAT32_DB, floor["db"])


def test_another_input_is_not_the_same_to_apples_runtime(apple: Path) -> None:
    """The limit tells a run apart from that of the samples in another order."""
    place = apple / ARCHITECTURES[0]
    samples, expected = (load_samples(place / f"{name}.npz") for name in ("samples", "expected"))
    found = execution.predict(place / f"{PACKAGE}.mlpackage", samples[::-1])
    assert not judge(distance(expected, found), FLOAT32_DB, FLOAT32_DB)
