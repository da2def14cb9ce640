"""Open a calibration or evaluation set of any kind."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.core.contract import Contract
from mobilesdk.data.arrays import open_npy, open_npz
from mobilesdk.data.images import open_images
from mobilesdk.data.sample import Source
from mobilesdk.errors import InvalidDataset


def open_samples(path: Path, contract: Contract) -> Source:
    """Open a set.

    Args:
        path: A folder of images, a ``.npz`` with an array for each input, or a ``.npy``.
        contract: Says what samples have to be, and how an image becomes one.

    Raises:
        InvalidDataset: There is no such set, it holds nothing, or it does not fit the contract.
    """
    source = _open(path, contract)
    if not len(source):
        raise InvalidDataset(f"{path} is empty.", hint="give at least 32 samples.")
    return source


def _open(path: Path, contract: Contract) -> Source:
    if path.is_dir():
        return open_images(path, contract)
    if not path.is_file():
        raise InvalidDataset(f"There is no file or folder {path}.", hint="check the path.")
    if path.suffix == ".npz":
        return open_npz(path, contract)
    if path.suffix == ".npy":
        return open_npy(path, contract)
    raise InvalidDataset(
        f"{path.name} is neither a folder of images nor a .npz or .npy file.",
        hint="write the prepared inputs with numpy.savez.",
    )
