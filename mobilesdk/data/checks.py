"""What makes a calibration or evaluation set unusable, each with the reason and the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import AudioInput, ImageInput, InputSpec, TokenInput
from mobilesdk.data.index import SampleRecord
from mobilesdk.data.noise import is_noise
from mobilesdk.data.sample import Sample
from mobilesdk.errors import InvalidDataset

SMALLEST_COUNT = 32
LARGEST_DUPLICATE_RATIO = 0.1
_PIXEL_TOLERANCE = 1.0  # of 0…255: resampling and float16 round
_SOUND_TOLERANCE = 0.5  # filters and resampling overshoot; integers are far beyond


def check_sample(sample: Sample, specs: Sequence[InputSpec]) -> None:
    """Check one sample by itself.

    Raises:
        InvalidDataset: It is constant, pure noise or not finite, ids lie outside the vocabulary, or
            values outside of what pixels become or sound is.
    """
    for spec in specs:
        array = sample.arrays[spec.name]
        _check_finite(array, spec.name, sample.name)
        if isinstance(spec.preparation, TokenInput):
            _check_ids(array, spec.preparation, spec.name, sample.name)
        if isinstance(spec.preparation, ImageInput):
            _check_pixels(array, spec.preparation, spec.name, sample.name)
        if isinstance(spec.preparation, AudioInput):
            _check_sound(array, spec.name, sample.name)
    if all(_is_constant(array) for array in sample.arrays.values()):
        raise InvalidDataset(
            f"{sample.name} is constant: one value everywhere.",
            hint="remove it; ranges and parity of a real input cannot be learnt from it.",
        )
    if sample.luminance is not None and is_noise(sample.luminance):
        raise InvalidDataset(
            f"{sample.name} is pure noise: neighbouring pixels have nothing in common.",
            hint="use images like those that the model will see; noise gives useless ranges.",
        )


def check_count(count: int, *, allow_small: bool) -> None:
    """Check that there are enough samples.

    Raises:
        InvalidDataset: There are fewer than 32, and that is not allowed.
    """
    if count < SMALLEST_COUNT and not allow_small:
        raise InvalidDataset(
            f"There are only {count} sample(s); ranges and figures need at least {SMALLEST_COUNT}.",
            hint="add samples, or pass --allow-small-calibration if you accept worse ones.",
        )


def check_duplicates(records: Sequence[SampleRecord]) -> None:
    """Check that at most a tenth of the samples repeat another one, value for value.

    Raises:
        InvalidDataset: More do; names one pair.
    """
    first: dict[str, str] = {}
    repeats = [
        (record.name, first[record.digest])
        for record in records
        if first.setdefault(record.digest, record.name) != record.name
    ]
    if len(repeats) > LARGEST_DUPLICATE_RATIO * len(records):
        one, other = repeats[0]
        raise InvalidDataset(
            f"{len(repeats)} of {len(records)} samples repeat another one, "
            f"e.g. {one} is the same as {other}.",
            hint="keep each sample once.",
        )


def check_disjoint(records: Sequence[SampleRecord], others: Sequence[SampleRecord]) -> None:
    """Check that no sample of one set is in the other, under whatever name.

    Raises:
        InvalidDataset: One is; names both.
    """
    known = {record.digest: record.name for record in others}
    shared = [(record.name, known[record.digest]) for record in records if record.digest in known]
    if shared:
        one, other = shared[0]
        raise InvalidDataset(
            f"{len(shared)} sample(s) of the evaluation set are in the calibration set too, "
            f"e.g. {one} is the same as {other} there.",
            hint="split the sets, by photo or by document, before cutting samples from them.",
        )


def _check_finite(array: NDArray[Any], name: str, sample: str) -> None:
    if not bool(np.isfinite(array).all()):
        raise InvalidDataset(
            f"The input {name!r} of {sample} holds infinite values or NaN.",
            hint="remove the sample, or mend what prepares it.",
        )


def _check_ids(array: NDArray[Any], tokens: TokenInput, name: str, sample: str) -> None:
    low, high = int(array.min()), int(array.max())
    size = tokens.vocabulary_size
    if low < 0 or (size is not None and high >= size):
        bound = "" if size is None else f" … {size - 1}"
        raise InvalidDataset(
            f"The input {name!r} of {sample} holds ids of {low} … {high}, outside of 0{bound}.",
            hint="use the tokenizer that belongs to the model.",
        )


def _check_pixels(array: NDArray[Any], image: ImageInput, name: str, sample: str) -> None:
    """Check, channel by channel, that each value is what a pixel of 0…255 becomes."""
    values = (array if image.layout == "NHWC" else np.moveaxis(array, 1, -1)).reshape(-1, 3)
    mean, std = (
        np.broadcast_to(np.asarray(each, np.float64), 3) for each in (image.mean, image.std)
    )
    pixels = values * std + mean
    if pixels.min() >= -_PIXEL_TOLERANCE and pixels.max() <= 255 + _PIXEL_TOLERANCE:
        return
    place, channel = divmod(int(np.abs(pixels - 127.5).argmax()), 3)
    low, high = sorted((end - mean[channel]) / std[channel] for end in (0, 255))
    raise InvalidDataset(
        f"The input {name!r} of {sample} holds {values[place, channel]:.6g}, but pixels of 0…255 "
        f"become {low:.6g} … {high:.6g} with mean {image.mean} and std {image.std}.",
        hint="prepare the array by the contract, (pixel - mean) / std, or mend mean and std there.",
    )


def _check_sound(array: NDArray[Any], name: str, sample: str) -> None:
    largest = float(np.abs(array).max())
    if largest > 1.0 + _SOUND_TOLERANCE:
        raise InvalidDataset(
            f"The input {name!r} of {sample} holds {largest:.6g}, but sound is -1 … 1.",
            hint="divide integers by their range: values / 32768 of 16 bits.",
        )


def _is_constant(array: NDArray[Any]) -> bool:
    return bool((array == array.reshape(-1)[0]).all())
