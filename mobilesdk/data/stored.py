"""A set as the pipeline stores it: one ``.npy`` for each input, and ``samples.json``.

Of a model with dimensions there is one for each input of each sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from mobilesdk.data.index import INDEX_NAME, SampleIndex, StoredInput
from mobilesdk.errors import FileRejected


class StoredSamples:
    """The samples in a folder that `ingest` wrote, mapped into memory as they are needed.

    Attributes:
        labels: ``[count, …]`` of numbers or text; ``None`` if the set has none.
    """

    def __init__(self, folder: Path) -> None:
        """Open a stored set.

        Raises:
            FileRejected: The folder does not hold what its index says.
        """
        try:
            self.index = SampleIndex.model_validate_json((folder / INDEX_NAME).read_bytes())
            self._rows = {each.name: _rows(folder, each, self.index) for each in self.index.inputs}
            self.labels = _labels(folder, self.index)
        except (OSError, ValidationError, ValueError) as error:
            raise FileRejected(
                f"{folder} is no stored set of samples: {error}",
                hint="clear the cache and build again.",
            ) from error

    @property
    def digest(self) -> str:
        """SHA-256 over all samples."""
        return self.index.digest

    def __len__(self) -> int:
        return self.index.count

    def __iter__(self) -> Iterator[Mapping[str, NDArray[np.generic[Any]]]]:
        for place in range(len(self)):
            yield {name: row(place) for name, row in self._rows.items()}


def array_path(folder: Path, name: str) -> Path:
    """Give the file with the values of an input, ``[count, *shape]``."""
    return folder / f"{name}.npy"


def row_path(folder: Path, name: str, place: int) -> Path:
    """Give the file with the values of an input in one sample of a ragged set."""
    return folder / f"{name}-{place}.npy"


def labels_path(folder: Path) -> Path:
    """Give the file with the labels; no input can have its name."""
    return folder / "sample-labels.npy"


def _labels(folder: Path, index: SampleIndex) -> NDArray[Any] | None:
    if not index.labelled:
        return None
    labels: NDArray[Any] = np.load(labels_path(folder), allow_pickle=False)
    if labels.shape[:1] != (index.count,):
        raise ValueError(f"labels are {labels.shape}, but there are {index.count} samples")
    return labels


def _rows(folder: Path, stored: StoredInput, index: SampleIndex) -> Callable[[int], NDArray[Any]]:
    """Check the values of an input; give what maps those of a sample into memory."""
    if not stored.name.isidentifier():
        raise ValueError(f"{stored.name!r} is no name of an input")
    if not index.is_ragged:
        return _map(folder, stored, index).__getitem__

    def row(place: int) -> NDArray[Any]:
        return _load(row_path(folder, stored.name, place))

    for place in range(index.count):
        found = row(place)
        if found.ndim != len(stored.shape) or found.dtype != np.dtype(stored.dtype):
            raise ValueError(f"{stored.name} is {found.dtype}{found.shape} in sample {place}")
    return row


def _map(folder: Path, stored: StoredInput, index: SampleIndex) -> NDArray[Any]:
    array = _load(array_path(folder, stored.name))
    expected = (index.count, *stored.shape)
    if array.shape != expected or array.dtype != np.dtype(stored.dtype):
        raise ValueError(f"{stored.name} is {array.dtype}{array.shape}, not {expected}")
    return array


def _load(path: Path) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
