"""The scripts of the examples write the sets that they promise; `test_example_builds` uses them."""

import subprocess
import sys
from pathlib import Path

import pytest

from mobilesdk.bundle.canonical import tree_hash

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
FOLDERS = ("photos", "sentences", "two_inputs", "decoder")


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


def test_no_photo_is_in_both_sets(data):
    photos = [
        {path.stem.rpartition("-")[0] for path in place.iterdir()}
        for place in (data / "photos/calibration", data / "photos/evaluation")
    ]
    assert photos[0].isdisjoint(photos[1])
    assert len(photos[0] | photos[1]) >= 30


def test_the_same_sets_are_written_again(data, tmp_path):
    again = write_sets(tmp_path)
    for folder in FOLDERS:
        assert tree_hash(again / folder) == tree_hash(data / folder)
