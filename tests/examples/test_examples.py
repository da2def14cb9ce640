"""The example models can be read, and their scripts write sets that fit them."""

import subprocess
import sys
from pathlib import Path

import pytest

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.data.checks import check_disjoint
from mobilesdk.data.ingest import ingest
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.launch import Limits, Workers
from mobilesdk.pipeline.reading import Reader
from mobilesdk.pipeline.request import single

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
# Model → family, kind of each output, folder of its sets, suffix of a set.
EXAMPLES = {
    "efficientnet_lite0": ("vision", {"logits": "classification"}, "photos", ""),
    "minilm": ("transformer", {"embedding": "embedding"}, "sentences", ".npz"),
    "two_inputs": ("vision", {"scores": "other", "mask": "mask"}, "two_inputs", ".npz"),
}


def write_sets(folder, *arguments):
    subprocess.run(
        [sys.executable, "-m", "examples.make_data", str(folder), *arguments],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def reader(tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return Reader(cache, Workers(Limits(300, 8 << 30)), lambda _: None, ())


def sets_of(data, folder, suffix):
    return tuple(data / folder / f"{name}{suffix}" for name in ("calibration", "evaluation"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_can_be_read_and_its_sets_fit_it(name, data, reader, tmp_path):
    family, kinds, folder, suffix = EXAMPLES[name]
    reference = f"{REPOSITORY / 'examples' / name}.py:build"
    request = single(reference, calibration=None, evaluation=None, contract=None)
    summary = reader.read(request).summary
    assert summary.family == family
    assert {output.name: output.kind for output in summary.contract.outputs} == kinds

    calibration, evaluation = sets_of(data, folder, suffix)
    for each in ("calibration", "evaluation"):
        (tmp_path / each).mkdir()
    stored = ingest(calibration, summary.contract, tmp_path / "calibration")
    against = ingest(evaluation, summary.contract, tmp_path / "evaluation")
    check_disjoint(against.index.samples, stored.index.samples)
    assert len(stored) >= (96 if folder == "photos" else 64)
    assert len(against) >= 40


def test_no_photo_is_in_both_sets(data):
    photos = [
        {path.stem.rpartition("-")[0] for path in place.iterdir()}
        for place in sets_of(data, "photos", "")
    ]
    assert photos[0].isdisjoint(photos[1])
    assert len(photos[0] | photos[1]) >= 30


def test_the_same_sets_are_written_again(data, tmp_path):
    again = write_sets(tmp_path)
    for _, _, folder, _ in EXAMPLES.values():
        assert tree_hash(again / folder) == tree_hash(data / folder)
