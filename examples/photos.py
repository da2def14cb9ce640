"""Crops of photos that installed packages carry: the sets for image models."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PIL import Image

CROP_PIXELS = 224
_EVALUATION_EVERY = 3  # each third photo is kept for evaluation; no photo is in both sets
_SHARES = {"calibration": (1.0, 0.9, 0.8, 0.7, 0.6), "evaluation": (1.0, 0.9, 0.75, 0.6)}
_PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
_PHOTOS = (
    *(("foolbox", f"data/imagenet_{number:02}_*.jpg") for number in range(20)),
    ("imgaug", "quokka.jpg"),
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/brick.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/clock_motion.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/coins.png"),
    ("skimage", "data/grass.png"),
    ("skimage", "data/gravel.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/moon.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def write(folder: Path) -> None:
    """Write ``calibration/`` and ``evaluation/`` with PNG files of 224 by 224 pixels."""
    for number, (package, pattern) in enumerate(_PHOTOS):
        subset = "evaluation" if number % _EVALUATION_EVERY == 0 else "calibration"
        (folder / subset).mkdir(parents=True, exist_ok=True)
        (path,) = package_folder(package).glob(pattern)
        with Image.open(path) as photo:
            upright = photo.convert("RGB")
        for crop, (share, place) in enumerate(zip(_SHARES[subset], _PLACES, strict=False)):
            name = f"{package}-{path.stem}-{crop}.png"
            _crop(upright, share, place).save(folder / subset / name)


def package_folder(name: str) -> Path:
    """Find an installed package without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed; run: make demo")
    return Path(spec.submodule_search_locations[0])


def _crop(photo: Image.Image, share: float, place: tuple[float, float]) -> Image.Image:
    """Cut a square out of a photo.

    Args:
        photo: RGB.
        share: Side of the square, as a share of the photo's shorter side.
        place: 0 … 1 from left to right and from top to bottom.
    """
    side = round(share * min(photo.size))
    left, top = (round(at * (size - side)) for at, size in zip(place, photo.size, strict=True))
    square = photo.crop((left, top, left + side, top + side))
    return square.resize((CROP_PIXELS, CROP_PIXELS), Image.Resampling.BICUBIC)
