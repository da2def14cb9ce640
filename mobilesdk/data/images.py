"""Read a folder of images, prepared as the contract says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mobilesdk.core.contract import Contract, ImageInput, InputSpec
from mobilesdk.data.folder import files_of_set, sole_input
from mobilesdk.data.labels import folder_labels
from mobilesdk.data.sample import Sample
from mobilesdk.errors import InvalidDataset

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
_MODES = frozenset({"1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "PA", "RGBA"})  # 8 bits at most
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G, B; ITU-R BT.601


@dataclass(frozen=True)
class ImageFolder:
    """All images in a folder and its subfolders, in the order of their paths."""

    folder: Path
    files: tuple[Path, ...]
    spec: InputSpec
    labels: tuple[Any, ...]
    kind: Literal["images"] = "images"

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Sample]:
        preparation = image_of(self.spec)
        for path, label in zip(self.files, self.labels, strict=True):
            name = path.relative_to(self.folder).as_posix()
            image = _read(path, name)
            yield Sample(
                name=name,
                arrays={self.spec.name: _prepare(image, preparation, self.spec)},
                luminance=np.asarray(image, np.float32) @ _LUMINANCE,
                label=label,
            )


def open_images(folder: Path, contract: Contract) -> ImageFolder:
    """Find the images of a folder; hidden files are passed over, links are followed.

    Where each image lies in a folder of its class, that is its label (`folder_labels`).

    Raises:
        InvalidDataset: The model does not take one image and nothing else, a link leads nowhere or
            in a circle, or a folder cannot be read.
    """
    spec = sole_input(folder, contract, "images")
    if not isinstance(spec.preparation, ImageInput):
        raise InvalidDataset(
            f"{folder} is a folder of images, but the contract does not say how an image becomes "
            f"the input {spec.name!r}.",
            hint=_lines_to_add(spec),
        )
    if spec.shape[0] != 1:
        raise InvalidDataset(
            f"The model takes {spec.shape[0]} images at once.",
            hint="give example inputs with a batch of 1.",
        )
    files = tuple(files_of_set(folder))
    found = [path.relative_to(folder).as_posix() for path in files]
    return ImageFolder(folder, files, spec, folder_labels(found, contract.labels))


def image_of(spec: InputSpec) -> ImageInput:
    """Give the preparation of an input that is known to be an image."""
    if not isinstance(spec.preparation, ImageInput):
        raise TypeError(f"{spec.name} is no image")
    return spec.preparation


def _lines_to_add(spec: InputSpec) -> str:
    height, width, layout = 224, 224, ""
    if len(spec.shape) == 4 and spec.shape[-1] == 3:
        height, width, layout = *spec.shape[1:3], ', layout="NHWC"'
    elif len(spec.shape) == 4:
        height, width = spec.shape[-2:]
    return (
        "return a ModelSpec with the preparation that the model was trained with, e.g.\n"
        "    from mobilesdk import ImageInput, ModelSpec\n"
        "    return ModelSpec(module, example_inputs, inputs={\n"
        f'        "{spec.name}": ImageInput(size=({height}, {width}), mean=127.5, std=127.5'
        f"{layout})}})\n"
        "state it in a contract where the model is a file (mobilesdk init MODEL writes one),\n"
        "or give a .npz or .npy file of prepared arrays."
    )


def _read(path: Path, name: str) -> Image.Image:
    """Read an image upright, as RGB.

    Raises:
        InvalidDataset: The file is no image, or not one with one meaning as 8-bit RGB.
    """
    if not path.is_file():
        raise InvalidDataset(f"{name} is not a regular file.", hint="remove it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of images that are too large
            with Image.open(path, formats=_FORMATS) as image:
                _refuse_ambiguous(image, name)
                image.load()
                return ImageOps.exif_transpose(image).convert("RGB")
    except InvalidDataset:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidDataset(
            f"{name} has more pixels than an image should: {error}", hint="scale it down."
        ) from error
    except UnidentifiedImageError as error:
        raise InvalidDataset(
            f"{name} is not an image.",
            hint=f"remove it, or convert it; these are read: {', '.join(_FORMATS)}.",
        ) from error
    except (OSError, SyntaxError, ValueError, Warning) as error:
        raise InvalidDataset(
            f"{name} cannot be read: {error}", hint="replace or remove the damaged file."
        ) from error


def _refuse_ambiguous(image: Image.Image, name: str) -> None:
    if image.mode not in _MODES:
        raise InvalidDataset(
            f"{name} has pixels of mode {image.mode}, not of 8 bits.", hint="convert it to RGB."
        )
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # MPO: a photo and previews
        raise InvalidDataset(f"{name} has several frames.", hint="save one frame as a file.")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (
        255,
        255,
    ):
        raise InvalidDataset(
            f"{name} is transparent in places.", hint="lay it over the background that it needs."
        )


def _prepare(image: Image.Image, preparation: ImageInput, spec: InputSpec) -> NDArray[Any]:
    """Scale and normalise an image.

    Returns:
        ``[1, 3, H, W]`` or ``[1, H, W, 3]``, by the layout, in the dtype of the input.
    """
    height, width = preparation.size
    if preparation.resize == "crop":
        scaled = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    else:
        scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled, np.float32)
    mean, std = (np.asarray(x, np.float32) for x in (preparation.mean, preparation.std))
    values = (pixels - mean) / std
    if preparation.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[np.newaxis], np.dtype(spec.dtype))
