"""Packages that coremltools compressed: decoded bit by bit as it does, and its faults are seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.core.artifact import WeightInfo
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.uses import uses
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.runtimes.coreml import PLUGIN
from tests.coreml.apart import write_packages

pytestmark = pytest.mark.slow

SCHEMES = [
    "ios16_int8_channel",
    "ios16_int8_affine",
    "ios16_uint8_tensor",
    "ios16_palette1",
    "ios16_palette2",
    "ios16_palette8",
    "ios16_palette4",
    "ios16_palette6",
    "ios16_sparse",
    "int8_channel",
    "uint8_affine",
    "int8_tensor",
    "int4_channel",
    "uint4_affine",
    "int4_block16",
    "uint4_block16",
    "palette1",
    "palette2",
    "palette3",
    "palette4",
    "palette6",
    "palette8",
    "palette4_group16",
    "palette3_group16",
    "palette4_vector2",
    "palette4_scaled",
    "palette4_int8_table",
    "palette4_group16_int8_table",
    "sparse",
    "sparse_uint8_affine",
    "sparse_palette6",
    "sparse_palette4",
    "sparse_palette4_group16",
    "sparse_int8",
    "sparse_int4_block16",
    "sparse_palette4_int8_table",
    "magnitude",
]

Weights = Callable[[str], dict[str, WeightInfo]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_packages("vendor.py", tmp_path_factory.mktemp("vendor"))


@pytest.fixture
def weights(folder: Path) -> Weights:
    """Give what is reported for each weight, by the op that takes it."""

    def read(name: str) -> dict[str, WeightInfo]:
        path = folder / f"{name}.mlpackage"
        package = Package(path)
        function = package.model.program.functions["main"]
        by_name = {weight.name: weight for weight in PLUGIN.inspect(path).weights}
        found = uses(function, Constants(package, function))
        return {
            use.operation.name.removesuffix("_cast_fp16"): by_name[use.name]
            for use in found
            if use.name in by_name
        }

    return read


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_decoded_bit_by_bit(name: str, folder: Path) -> None:
    package = Package(folder / f"{name}.mlpackage")
    function = package.model.program.functions["main"]
    constants = Constants(package, function)
    expected = np.load(folder / f"{name}.npz", allow_pickle=False)
    compared = 0
    for use in uses(function, constants):
        key = f"{use.operation.name}/{use.parameter}"
        if key in expected:
            values = constants.decode(use.name)
            assert values.dtype == expected[key].dtype
            assert_array_equal(values.view(np.uint16), expected[key].view(np.uint16))
            compared += 1
    assert compared == len(expected) == 5


def test_no_scheme_is_left_out(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.mlpackage")} == set(SCHEMES)


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("ios16_int8_channel", "int8/channel"),
        ("ios16_int8_affine", "int8-affine/channel"),
        ("ios16_uint8_tensor", "int8-affine/tensor"),
        ("ios16_palette6", "palette6/tensor"),
        ("int4_channel", "int4/channel"),
        ("int4_block16", "int4/block16"),
        ("uint4_block16", "int4-affine/block16"),
        ("palette3_group16", "palette3/group16"),
        ("palette4_int8_table", "palette4-int8/tensor"),
        ("sparse", "float16 sparse45%"),
        ("sparse_palette4_group16", "palette4/group16 sparse45%"),
        ("sparse_int4_block16", "int4/block16 sparse45%"),
    ],
)
def test_schemes_are_reported_in_our_words(name: str, scheme: str, weights: Weights) -> None:
    assert str(weights(name)["conv"].scheme) == scheme


def test_pruning_that_did_nothing_is_seen(weights: Weights) -> None:
    """Above 65,504 elements coremltools computes the threshold in float16: NaN, nothing is zero."""
    found = weights("magnitude")
    assert found["conv"].scheme.sparsity == pytest.approx(0.5, abs=0.01)
    assert found["large"].scheme.sparsity < 0.01


@pytest.mark.parametrize("name", ["int4_block16", "palette4_group16"])
def test_weights_that_were_skipped_are_seen(name: str, weights: Weights) -> None:
    """coremltools leaves a weight dense whose channels do not divide, with a line in a log."""
    skipped = "depthwise" if name == "int4_block16" else "indivisible"
    assert weights(name)["conv"].scheme.bits == 4
    assert str(weights(name)[skipped].scheme) == "float16"


def test_constants_that_are_no_weights_are_seen(weights: Weights) -> None:
    """coremltools compresses any constant that is large enough."""
    added = weights("int8_channel")["add"]
    assert (added.op, added.scheme.encoding) == ("add", "linear")


def test_skipped_weights_that_were_changed_are_seen(weights: Weights, folder: Path) -> None:
    """With enable_per_channel_scale coremltools divides the weights that it skips."""
    original = np.load(folder / "original.npz", allow_pickle=False)["indivisible/weight"]
    changed = weights("palette4_scaled")["indivisible"]
    assert str(changed.scheme) == "float16"
    assert changed.fingerprint.distance(fingerprint(original)) > 0.1
    kept = weights("palette4_group16")["indivisible"]
    assert kept.fingerprint.distance(fingerprint(original)) < 1e-3
