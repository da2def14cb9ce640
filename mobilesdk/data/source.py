"""Open a calibration or evaluation set of any kind."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.core.contract import AudioInput, Contract, ImageInput
from mobilesdk.data.arrays import open_npy, open_npz
from mobilesdk.data.audio import open_audio
from mobilesdk.data.folder import entries_below
from mobilesdk.data.functions import parse_reference
from mobilesdk.data.given import open_iterable, open_texts
from mobilesdk.data.images import open_images
from mobilesdk.data.sample import Source
from mobilesdk.errors import InvalidDataset

_SEQUENCES = ("npz", "npy")  # kinds of sets that can hold sequences


def open_samples(path: Path, contract: Contract, tokenizer: str | None = None) -> Source:
    """Open a set.

    Args:
        path: A folder of images, of ``.wav`` or of ``.txt`` files, a ``.txt``, a ``.npz`` with an
            array for each input, a ``.npy``, or ``package.module:iterable``.
        contract: Says what samples have to be, and how an image or a recording becomes one.
        tokenizer: ``package.module:function`` that makes the inputs of a text.

    Raises:
        InvalidDataset: There is no such set, it holds nothing, or it does not fit the contract.
    """
    source = _open(path, contract, tokenizer)
    if contract.states and source.kind not in _SEQUENCES:
        raise InvalidDataset(
            f"{path} gives single inputs, but the model has states, so that a sample is a sequence "
            "of steps.",
            hint="write a .npz file with an array [samples, steps, …] for each input.",
        )
    if not len(source):
        raise InvalidDataset(f"{path} is empty.", hint="give at least 32 samples.")
    return source


def _open(path: Path, contract: Contract, tokenizer: str | None) -> Source:
    if path.is_dir():
        return _open_folder(path, contract, tokenizer)
    if not path.is_file():
        if parse_reference(str(path)) is not None:
            return open_iterable(str(path), contract)
        raise InvalidDataset(f"There is no file or folder {path}.", hint="check the path.")
    if path.suffix == ".npz":
        return open_npz(path, contract)
    if path.suffix == ".npy":
        return open_npy(path, contract)
    if path.suffix == ".txt":
        return open_texts(path, contract, _given(tokenizer, path))
    raise InvalidDataset(
        f"{path.name} is neither a folder nor a .npz, .npy or .txt file.",
        hint="write the prepared inputs with numpy.savez.",
    )


def _open_folder(path: Path, contract: Contract, tokenizer: str | None) -> Source:
    """Open a folder by what the contract prepares; else by what it holds."""
    preparation = contract.inputs[0].preparation
    if isinstance(preparation, ImageInput):
        return open_images(path, contract)
    suffixes = {file.suffix.lower() for file in entries_below(path)}
    if isinstance(preparation, AudioInput) or ".wav" in suffixes:
        return open_audio(path, contract)
    if ".txt" in suffixes:
        return open_texts(path, contract, _given(tokenizer, path))
    return open_images(path, contract)


def _given(tokenizer: str | None, path: Path) -> str:
    if tokenizer is None:
        raise InvalidDataset(
            f"{path} is text, and nothing says how it becomes the inputs.",
            hint='name a function in mobilesdk.toml: tokenizer = "package.module:function".',
        )
    return tokenizer
