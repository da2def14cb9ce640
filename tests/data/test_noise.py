import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mobilesdk.data.noise import NOISE_LIMIT, is_noise, neighbour_correlation

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
MARGIN = 0.3


def installed_pictures() -> list[Path]:
    patterns = {
        "skimage": ("data/astronaut.png", "data/coffee.png", "data/grass.png", "data/gravel.png",
                    "data/page.png", "data/text.png", "data/horse.png", "data/logo.png"),
        "sklearn": ("datasets/images/*.jpg",),
        "foolbox": ("data/imagenet_*.jpg",),
    }  # fmt: skip
    found = []
    for package, globs in patterns.items():
        (folder,) = find_spec(package).submodule_search_locations
        found += [path for pattern in globs for path in Path(folder).glob(pattern)]
    return sorted(found)


def luminance(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.float32) @ LUMINANCE


def uniform(generator: np.random.Generator, side: int) -> np.ndarray:
    return generator.integers(0, 256, (side, side, 3))


def gaussian(generator: np.random.Generator, side: int) -> np.ndarray:
    return np.clip(generator.normal(127, 40, (side, side, 3)), 0, 255)


def black_and_white(generator: np.random.Generator, side: int) -> np.ndarray:
    return 255 * generator.integers(0, 2, (side, side, 1)).repeat(3, axis=2)


NOISES = [uniform, gaussian, black_and_white]


@pytest.mark.parametrize("path", installed_pictures(), ids=lambda path: path.name)
def test_photos_and_drawings_are_far_from_the_limit(path):
    with Image.open(path) as image:
        assert neighbour_correlation(luminance(image)) > NOISE_LIMIT + MARGIN


def test_there_are_pictures_to_test_with():
    assert len(installed_pictures()) == 30


@pytest.mark.parametrize("make", NOISES)
@given(seed=st.integers(0, 2**32 - 1), side=st.sampled_from([32, 64, 128]))
def test_noise_is_noise_whatever_its_distribution(make, seed, side):
    assert is_noise(make(np.random.default_rng(seed), side).mean(axis=2))


@pytest.mark.parametrize("make", NOISES)
def test_noise_is_noise_after_a_jpeg_and_after_scaling_down(make):
    image = Image.fromarray(make(np.random.default_rng(0), 512).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    assert is_noise(luminance(Image.open(file)))
    assert is_noise(luminance(image.resize((224, 224), Image.Resampling.BILINEAR)))


@given(offset=st.floats(-1e3, 1e3), scale=st.floats(0.01, 100))
def test_the_statistic_ignores_offset_and_scale(offset, scale):
    values = np.random.default_rng(0).normal(size=(20, 20)).cumsum(axis=1)
    expected = neighbour_correlation(values)
    assert neighbour_correlation(values * scale + offset) == pytest.approx(expected, abs=1e-6)


def test_one_colour_and_tiny_images_are_not_called_noise():
    assert neighbour_correlation(np.full((20, 20), 7.0)) == 1.0
    assert not is_noise(np.random.default_rng(0).normal(size=(8, 8)))
