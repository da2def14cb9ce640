"""Prepared inputs give back the pixels that they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.core.contract import ImageInput
from mobilesdk.coreml.images import pixels_of
from mobilesdk.errors import ArtifactInvalid

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
MEAN, STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)


def prepared(pixels: Any, image: ImageInput, dtype: str = "float32") -> Any:
    values = (np.asarray(pixels, np.float32) - np.float32(image.mean)) / np.float32(image.std)
    placed = values.transpose(2, 0, 1) if image.layout == "NCHW" else values
    return placed[None].astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "image",
    [
        ImageInput(size=(4, 5)),
        ImageInput(size=(4, 5), mean=127.5, std=127.5),
        ImageInput(size=(4, 5), mean=MEAN, std=STD),
        ImageInput(size=(4, 5), mean=MEAN, std=STD, layout="NHWC"),
        ImageInput(size=(4, 5), std=-255.0),
    ],
)
def test_pixels_are_found_again(image: ImageInput, dtype: str) -> None:
    found = pixels_of(prepared(PIXELS, image, dtype), image)
    assert found.dtype == np.uint8
    assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("value", [-1.0, 256.0, 10.4, np.nan])
def test_what_comes_from_no_pixels_is_refused(value: float) -> None:
    image = ImageInput(size=(4, 5), mean=MEAN, std=STD)
    pixels = PIXELS.astype(np.float32)
    pixels[1, 2, 0] = value
    with pytest.raises(ArtifactInvalid, match="no whole pixels"):
        pixels_of(prepared(pixels, image), image)
