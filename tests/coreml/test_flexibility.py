"""Shapes of inputs are held to what the model description allows; images are inputs like others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobilesdk.core.flexibility import Flexibility
from mobilesdk.coreml import load
from mobilesdk.coreml.package import Package
from mobilesdk.errors import FileRejected, UsageError
from mobilesdk.runtimes.coreml import PLUGIN
from tests.coreml.building import write_bytes
from tests.coreml.programs import Function, enumerated, image_ranges, ranges, write

SINGLE = "float32"


def flexible(root: Path, allowed: bytes, *, image: str = "") -> Path:
    shape = (1, 3, None, None) if image == "rgb" else (1, 1, None, None) if image else (None, 4)
    made = Function({"x": (SINGLE, shape)}, ("y",), allowed={"x": allowed})
    if image:
        made.images["x"] = image
    made.body.op("relu", {"y": (SINGLE, shape)}, x="x")
    return write(root / "m", made)


@pytest.mark.parametrize(
    ("allowed", "good", "bad", "told"),
    [
        (ranges((2, 5), (4, 4)), [2, 5], [1, 6], "[2…5, 4]"),
        (ranges((3, -1), (4, 4)), [3, 900], [2], "[3…, 4]"),
        (enumerated((2, 4), (7, 4)), [2, 7], [3, 5], "[2, 4] or [7, 4]"),
    ],
)
def test_other_shapes_are_refused(
    tmp_path: Path, allowed: bytes, good: list[int], bad: list[int], told: str
) -> None:
    model = load(flexible(tmp_path, allowed))
    for length in good:
        assert model.predict({"x": np.ones((length, 4), np.float32)})["y"].shape == (length, 4)
    for length in bad:
        with pytest.raises(UsageError, match=rf"has the shape \[{length}, 4\]") as caught:
            model.predict({"x": np.ones((length, 4), np.float32)})
        assert told in caught.value.hint


def test_a_shape_is_fixed_if_the_description_allows_no_other(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (None, 4))}, ("y",), allowed={"x": ranges((1, 1), (4, 4))})
    made.body.op("relu", {"y": (SINGLE, (None, 4))}, x="x")
    with pytest.raises(UsageError, match="shape"):
        load(write(tmp_path / "m", made)).predict({"x": np.ones((2, 4), np.float32)})


def test_images_of_other_sizes_are_refused(tmp_path: Path) -> None:
    model = load(flexible(tmp_path, image_ranges((4, 8), (6, -1)), image="rgb"))
    assert model.predict({"x": np.ones((5, 60, 3), np.uint8)})["y"].shape == (1, 3, 5, 60)
    for shape in ((9, 6, 3), (4, 5, 3), (4, 6, 4), (4, 6)):
        with pytest.raises(UsageError, match="is given as uint8") as caught:
            model.predict({"x": np.ones(shape, np.uint8)})
        assert "colours in RGB order; height and width may be" in caught.value.hint


def test_the_hint_for_an_image_fits_it(tmp_path: Path) -> None:
    made = Function({"x": (SINGLE, (1, 1, 4, 6))}, ("y",), images={"x": "grayscale"})
    made.body.op("relu", {"y": (SINGLE, (1, 1, 4, 6))}, x="x")
    with pytest.raises(UsageError, match="is given as float32") as caught:
        load(write(tmp_path / "m", made)).predict({"x": np.ones((4, 6), np.float32)})
    assert caught.value.hint == "give the pixels as uint8 [4, 6]."


@pytest.mark.parametrize("message", [write_bytes(21, b""), write_bytes(31, b"")])
def test_flexibility_that_allows_nothing_is_rejected(tmp_path: Path, message: bytes) -> None:
    with pytest.raises(FileRejected, match="allows none"):
        Package(flexible(tmp_path, message))


@pytest.mark.parametrize(
    ("image", "shape", "dtype"), [("rgb", (-1, -1, 3), "uint8"), ("grayscale", (-1, -1), "uint8")]
)
def test_inspection_gives_the_pixels_that_an_image_takes(
    tmp_path: Path, image: str, shape: tuple[int, ...], dtype: str
) -> None:
    info = PLUGIN.inspect(flexible(tmp_path, image_ranges((4, 8), (6, 9)), image=image))
    (found,) = info.inputs
    assert (found.name, found.shape, found.dtype) == ("x", shape, dtype)
    assert (info.problems, found.color_layout) == ((), image)
    channels = shape[2:]
    assert found.allows((5, 8, *channels))
    assert not found.allows((9, 8, *channels))


@pytest.mark.parametrize("layout", ["rgb", "bgr"])
def test_an_image_is_no_problem_and_runs_as_its_layout_says(tmp_path: Path, layout: str) -> None:
    shape = (1, 3, 4, 5)
    made = Function({"x": (SINGLE, shape)}, ("y",), images={"x": layout})
    made.body.op("mul", {"y": (SINGLE, shape)}, x="x", y=np.float32(1 / 255))
    path = write(tmp_path / "m", made)
    info = PLUGIN.inspect(path)
    assert info.problems == ()
    assert (info.inputs[0].shape, info.inputs[0].dtype) == ((4, 5, 3), "uint8")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    planes = np.moveaxis(pixels[..., ::-1] if layout == "bgr" else pixels, -1, 0)[None]
    expected = planes.astype(np.float32) * np.float32(1 / 255)
    np.testing.assert_array_equal(load(path).predict({"x": pixels})["y"], expected)


@pytest.mark.parametrize(
    ("allowed", "shape"),
    [(ranges((2, 5), (4, 4)), (-1, 4)), (enumerated((2, 4), (7, 4)), (-1, 4))],
)
def test_inspection_gives_the_shapes_that_an_array_may_have(
    tmp_path: Path, allowed: bytes, shape: tuple[int, ...]
) -> None:
    info = PLUGIN.inspect(flexible(tmp_path, allowed))
    assert (info.problems, info.inputs[0].shape) == ((), shape)
    assert info.inputs[0].allows((2, 4))
    assert not info.inputs[0].allows((6, 4))


def test_what_is_allowed_is_told() -> None:
    assert str(Flexibility(ranges=((1, 1), (2, None)))) == "[1, 2…]"
    assert Flexibility(ranges=((1, 1), (2, None))).allows((1, 99))
    assert not Flexibility(ranges=((1, 1), (2, None))).allows((1, 2, 3))
