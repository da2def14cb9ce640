"""Models that coremltools converted compute here what torch computes, in every operation set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.coreml import load
from mobilesdk.numerics.metrics import sqnr_db
from tests.coreml.apart import write_packages

pytestmark = pytest.mark.slow

VERSIONS = ("ios15", "ios16", "ios17", "ios18")
FLOAT32_DB, FLOAT16_DB = 100.0, 50.0

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_packages("convert_worker.py", tmp_path_factory.mktemp("converted"))


def case(folder: Path, name: str) -> tuple[Path, Arrays, list[np.ndarray]]:
    with np.load(folder / f"{name}.npz") as stored:
        inputs = {key[3:]: stored[key] for key in stored if key.startswith("in.")}
        outputs = [stored[key] for key in sorted(stored) if key.startswith("out.")]
    return folder / f"{name}.mlpackage", inputs, outputs


def distances_db(folder: Path, name: str) -> list[float]:
    path, inputs, expected = case(folder, name)
    loaded = load(path)
    found = loaded.predict(inputs)
    assert loaded.non_finite == ()
    return [
        float(sqnr_db(true, found[output]))
        for true, output in zip(expected, loaded.output_names, strict=True)
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["convolutions", "attention"])
def test_float32_packages_agree_to_the_last_bits(folder: Path, kind: str, version: str) -> None:
    assert min(distances_db(folder, f"{kind}_{version}_float32")) > FLOAT32_DB


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["convolutions", "attention"])
def test_float16_packages_differ_by_rounding(folder: Path, kind: str, version: str) -> None:
    for distance in distances_db(folder, f"{kind}_{version}_float16"):
        assert FLOAT16_DB < distance < FLOAT32_DB


def test_flexible_shapes_run_at_another_length(folder: Path) -> None:
    assert min(distances_db(folder, "flexible")) > FLOAT32_DB


def test_a_converted_state_counts(folder: Path) -> None:
    path, inputs, _ = case(folder, "counter")
    loaded = load(path)
    states = loaded.new_states()
    (output,) = loaded.output_names
    found = [loaded.predict(inputs, states=states)[output][0, 0] for _ in range(3)]
    assert_array_equal(found, [2, 4, 6])
