"""A set as the pipeline stores it: one ``.npy`` for each input, and ``samples.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
            self._arrays = {each.name: _map(folder, each, self.index) for each in self.index.inputs}
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
            yield {name: array[place] for name, array in self._arrays.items()}


def array_path(folder: Path, name: str) -> Path:
    """Give the file with the values of an input, ``[count, *shape]``."""
    return folder / f"{name}.npy"


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


def _map(folder: Path, stored: StoredInput, index: SampleIndex) -> NDArray[Any]:
    if not stored.name.isidentifier():
        raise ValueError(f"{stored.name!r} is no name of an input")
    array = np.load(array_path(folder, stored.name), mmap_mode="r", allow_pickle=False)
    expected = (index.count, *stored.shape)
    if array.shape != expected or array.dtype != np.dtype(stored.dtype):
        raise ValueError(f"{stored.name} is {array.dtype}{array.shape}, not {expected}")
    return np.asarray(array)
