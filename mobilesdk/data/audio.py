"""Read a folder of ``.wav`` recordings, prepared as the contract says."""

from __future__ import annotations

import struct
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import AudioInput, Contract, InputSpec
from mobilesdk.data.folder import files_of_set, sole_input
from mobilesdk.data.labels import folder_labels
from mobilesdk.data.sample import Sample
from mobilesdk.errors import InvalidDataset

_WAVE_ERRORS = (wave.Error, EOFError, OSError, struct.error, ValueError, RuntimeError)
_HINT = "convert it to PCM: ffmpeg -i in.wav -c:a pcm_s16le out.wav"


@dataclass(frozen=True)
class Recordings:
    """All recordings in a folder and its subfolders, in the order of their paths."""

    folder: Path
    files: tuple[Path, ...]
    spec: InputSpec
    preparation: AudioInput
    labels: tuple[Any, ...]
    kind: Literal["audio"] = "audio"

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Sample]:
        for path, label in zip(self.files, self.labels, strict=True):
            name = path.relative_to(self.folder).as_posix()
            array = _prepare(_read(path, name, self.preparation, self.spec.shape[-1]), self.spec)
            yield Sample(name=name, arrays={self.spec.name: array}, label=label)


def open_audio(folder: Path, contract: Contract) -> Recordings:
    """Find the recordings of a folder; hidden files are passed over, links are followed.

    Where each lies in a folder of its class, that is its label (`folder_labels`).

    Raises:
        InvalidDataset: The model does not take one recording and nothing else, a file is none, or a
            link leads nowhere or in a circle.
    """
    spec = sole_input(folder, contract, "recordings")
    if not isinstance(spec.preparation, AudioInput):
        raise InvalidDataset(
            f"{folder} is a folder of recordings, but the contract does not say how one becomes "
            f"the input {spec.name!r}.",
            hint=f'add inputs={{"{spec.name}": AudioInput(sample_rate_hz=…)}} to the ModelSpec, '
            "with the rate that the model was trained with.",
        )
    files = tuple(files_of_set(folder))
    found = [path.relative_to(folder).as_posix() for path in files]
    for name in found:
        if not name.lower().endswith(".wav"):
            raise InvalidDataset(f"{name} is no .wav file.", hint="remove it, or convert it.")
    labels = folder_labels(found, contract.labels)
    return Recordings(folder, files, spec, spec.preparation, labels)


def _read(path: Path, name: str, audio: AudioInput, length: int) -> NDArray[np.float32]:
    """Read as many samples as the model takes.

    Returns:
        ``[channels, length]``, -1 … 1.

    Raises:
        InvalidDataset: It is no PCM recording, is damaged, or not what the contract says.
    """
    if not path.is_file():
        raise InvalidDataset(f"{name} is not a regular file.", hint="remove it.")
    try:
        with path.open("rb") as file, wave.open(file) as recording:
            _check(recording, name, audio, length)
            width, count = recording.getsampwidth(), recording.getnframes()
            if count * width * audio.channels > path.stat().st_size:
                raise EOFError("it says that it holds more than it does")
            wanted = min(count, length)
            data = recording.readframes(wanted)
    except _WAVE_ERRORS as error:
        raise InvalidDataset(f"{name} is no PCM recording: {error}", hint=_HINT) from error
    if len(data) != wanted * width * audio.channels:
        raise InvalidDataset(f"{name} ends before its samples do.", hint="replace the file.")
    values = _decode(data, width).reshape(wanted, audio.channels).T
    return np.pad(values, ((0, 0), (0, length - wanted)))


def _check(recording: wave.Wave_read, name: str, audio: AudioInput, length: int) -> None:
    rate, channels = recording.getframerate(), recording.getnchannels()
    if rate != audio.sample_rate_hz:
        raise InvalidDataset(
            f"{name} has {rate} samples a second, the model takes {audio.sample_rate_hz}.",
            hint=f"resample it with care: ffmpeg -i in.wav -ar {audio.sample_rate_hz} out.wav",
        )
    if channels != audio.channels:
        raise InvalidDataset(
            f"{name} has {channels} channel(s), the model takes {audio.channels}.",
            hint=f"mix it: ffmpeg -i in.wav -ac {audio.channels} out.wav",
        )
    count = recording.getnframes()
    fits = {"exact": count == length, "crop": count >= length, "crop_or_pad": count > 0}
    if not fits[audio.length]:
        raise InvalidDataset(
            f"{name} has {count} samples, the model takes {length}.",
            hint='remove it, or state AudioInput(length="crop_or_pad") if the model knows silence.',
        )


def _decode(data: bytes, width: int) -> NDArray[np.float32]:
    """Give PCM samples of 1 to 4 bytes as -1 … 1; those of one byte have no sign."""
    if width == 1:
        values = np.frombuffer(data, np.uint8).astype(np.float64) - 128.0
    elif width == 3:
        triples = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        unsigned = triples @ np.array([1, 1 << 8, 1 << 16], np.int32)
        values = (unsigned - ((unsigned >> 23) << 24)).astype(np.float64)
    else:
        values = np.frombuffer(data, f"<i{width}").astype(np.float64)
    return (values / (1 << (8 * width - 1))).astype(np.float32)


def _prepare(values: NDArray[np.float32], spec: InputSpec) -> NDArray[Any]:
    return np.ascontiguousarray(values.reshape(spec.shape), np.dtype(spec.dtype))
