"""Images as an app passes them, and as the program takes and gives them.

An image here is an array of pixels: uint8 [height, width, 3] in RGB order, or [height, width] for
grayscale (float16 for ``grayscale_float16``). The program has [1, channels, height, width] with
values of 0 … 255 in the order of its colour layout; scale and bias are operations of the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import ImageInput
from mobilesdk.coreml.model import Feature
from mobilesdk.errors import ArtifactInvalid, UsageError

_PIXEL_TOLERANCE = 0.1
"""Prepared values in float16 give pixels of 0…255 back to within 0.06."""


def pixel_type(feature: Feature) -> tuple[tuple[int, ...], str]:
    """Give the shape and dtype of an image as an app passes it; -1 for a size that is free."""
    size = feature.shape if feature.flexibility is None else feature.flexibility.shape
    if feature.color_layout == "grayscale_float16":
        return size, "float16"
    return (size if feature.color_layout == "grayscale" else (*size, 3)), "uint8"


def allows(feature: Feature, shape: Sequence[int]) -> bool:
    """Tell whether an input may have a shape; of an image, height and width."""
    if feature.flexibility is not None:
        return feature.flexibility.allows(shape)
    return not feature.shape or (tuple(shape) or (1,)) == feature.shape  # a scalar has one axis


def planes(image: NDArray[Any], feature: Feature) -> NDArray[Any]:
    """Give the planes that the program takes for an image, shape [1, C, height, width].

    Raises:
        UsageError: It is no image of this layout and size.
    """
    gray = feature.color_layout in ("grayscale", "grayscale_float16")
    dtype = np.float16 if feature.color_layout == "grayscale_float16" else np.uint8
    colors = () if gray else (3,)
    size_fits = allows(feature, image.shape[:2])
    if not size_fits or image.shape[2:] != colors or image.dtype != dtype:
        hint = f"give the pixels as {np.dtype(dtype)} {[*feature.shape, *colors]}"
        if not gray:
            hint += ", colours in RGB order"
        if feature.flexibility is not None:
            hint += f"; height and width may be {feature.flexibility}"
        raise UsageError(
            f"Wrong input: the image {feature.name!r} is given as {image.dtype} "
            f"{list(image.shape)}.",
            hint=f"{hint}.",
        )
    if gray:
        return image[None, None]
    ordered = image[..., ::-1] if feature.color_layout == "bgr" else image
    return np.ascontiguousarray(np.moveaxis(ordered, -1, 0)[None])


def pixels(values: NDArray[Any], feature: Feature) -> NDArray[Any]:
    """Give the image for planes [1, C, height, width]: rounded, limited to 0 … 255; NaN as 0.

    Raises:
        ArtifactInvalid: The planes are not those of this layout and size.
    """
    planes_count = 1 if feature.color_layout in ("grayscale", "grayscale_float16") else 3
    is_one_image = values.ndim == 4 and values.shape[:2] == (1, planes_count)
    if not is_one_image or not allows(feature, values.shape[2:]):
        raise ArtifactInvalid(
            f"The image {feature.name!r} came as {list(values.shape)}, not as "
            f"[1, {planes_count}, height, width] with {feature.flexibility or list(feature.shape)}."
        )
    if feature.color_layout == "grayscale_float16":
        return np.array(values[0, 0], np.float16)
    whole = np.nan_to_num(np.clip(np.rint(values.astype(np.float32)), 0, 255), nan=0)
    limited: NDArray[np.uint8] = whole.astype(np.uint8)
    if feature.color_layout == "grayscale":
        return np.array(limited[0, 0])
    image = np.moveaxis(limited[0], 0, -1)
    return np.ascontiguousarray(image[..., ::-1] if feature.color_layout == "bgr" else image)


def pixels_of(values: NDArray[Any], image: ImageInput) -> NDArray[np.uint8]:
    """Give the pixels that an input of a model was prepared from.

    Args:
        values: ``(pixel - mean) / std``, shape [1, 3, height, width] or [1, height, width, 3].
        image: How they were prepared.

    Returns:
        uint8 [height, width, 3] in RGB order.

    Raises:
        ArtifactInvalid: They come from no whole pixels of 0 … 255.
    """
    mean, std = (np.asarray(each, np.float64) for each in (image.mean, image.std))
    channels_last = values[0] if image.layout == "NHWC" else np.moveaxis(values[0], 0, -1)
    exact = channels_last * std + mean
    whole = np.clip(np.rint(exact), 0, 255)
    if not np.all(np.abs(exact - whole) <= _PIXEL_TOLERANCE):
        raise ArtifactInvalid(
            "The package takes an image, and a sample is made of no whole pixels of 0 … 255.",
            hint="give a set of images, or arrays prepared from pixels as the contract says.",
        )
    return whole.astype(np.uint8)
