"""Labels of samples: what a metric compares outputs with."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.data.arrays import read_array
from mobilesdk.errors import InvalidDataset, suggest

_LARGEST_BYTES = 64 << 20
_COLUMNS = 2


def folder_labels(names: Sequence[str], classes: Sequence[str] | None) -> tuple[Any, ...]:
    """Give the label of each file by the first folder on its path.

    Args:
        names: Paths within the set.
        classes: Labels of the contract.

    Returns:
        If the contract has labels and every folder is one of them, its place there; else the names
        of the folders; ``None`` for each file, if one lies in no folder.
    """
    folders = [name.partition("/")[0] if "/" in name else None for name in names]
    if None in folders:
        return (None,) * len(folders)
    if classes is not None and set(folders) <= set(classes):
        place = {name: index for index, name in reversed(list(enumerate(classes)))}
        return tuple(place[str(folder)] for folder in folders)
    return tuple(folders)


def as_array(labels: Sequence[Any]) -> NDArray[Any] | None:
    """Put the labels of all samples into one array; ``None`` if no sample has one.

    Raises:
        InvalidDataset: Some samples have none, or they differ in shape or type.
    """
    missing = [place for place, label in enumerate(labels) if label is None]
    if len(missing) == len(labels):
        return None
    if missing:
        raise InvalidDataset(
            f"{len(missing)} of {len(labels)} samples have no label, the first is {missing[0]}.",
            hint="label every sample, or none.",
        )
    try:
        array = np.array(list(labels))
    except ValueError as error:
        raise InvalidDataset(
            f"The labels do not make an array: {error}", hint="give all labels in one shape."
        ) from error
    if array.dtype.kind not in "biufU":
        raise InvalidDataset(
            f"The labels are {array.dtype}, neither numbers nor text.",
            hint="give numbers, text, or arrays of numbers of one shape.",
        )
    return array


@dataclass(frozen=True)
class Labels:
    """Labels from a file: by the name of a sample, or in the order of the samples."""

    path: Path
    by_name: Mapping[str, Any] | None
    in_order: NDArray[Any] | None

    def of(self, names: Sequence[str]) -> NDArray[Any] | None:
        """Give the labels of samples.

        Raises:
            InvalidDataset: One has no label, or there are labels of samples that are not there.
        """
        if self.by_name is None:
            if self.in_order is None or len(self.in_order) != len(names):
                count = 0 if self.in_order is None else len(self.in_order)
                raise InvalidDataset(
                    f"{self.path.name} has {count} labels, the set {len(names)} samples.",
                    hint="give one label for each sample, in the order of the set.",
                )
            return self.in_order
        for name in names:
            if name not in self.by_name:
                raise InvalidDataset(
                    f"{self.path.name} has no label for {name}.",
                    hint=suggest(name, sorted(self.by_name)[:10]),
                )
        more = sorted(set(self.by_name) - set(names))
        if more:
            raise InvalidDataset(
                f"{self.path.name} labels {more[0]}, which is not in the set.",
                hint="remove the line, or add the sample.",
            )
        return as_array([self.by_name[name] for name in names])


def open_labels(path: Path) -> Labels:
    """Read labels: a ``.npy`` in the order of the samples, or a ``.csv`` with lines ``name,label``.

    Labels of a ``.csv`` are integers if all are, else numbers if all are, else text.

    Raises:
        InvalidDataset: There is no such file, or it is something else.
    """
    if not path.is_file():
        raise InvalidDataset(f"There is no file {path}.", hint="check the path of the labels.")
    if path.suffix == ".npy":
        return Labels(path, None, read_array(path))
    if path.suffix != ".csv":
        raise InvalidDataset(
            f"{path.name} is neither a .csv nor a .npy file.",
            hint="write lines of name,label, or numpy.save(file, labels).",
        )
    return Labels(path, _read_csv(path), None)


def _read_csv(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _LARGEST_BYTES:
        raise InvalidDataset(
            f"{path.name} is larger than {_LARGEST_BYTES} bytes.", hint="give a .npy file."
        )
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file, strict=True):
                _add(found, row, path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidDataset(
            f"{path.name} cannot be read: {error}", hint="write lines of name,label in UTF-8."
        ) from error
    for kind in (int, float):
        try:
            return {name: kind(text) for name, text in found.items()}
        except ValueError:
            continue
    return dict(found)


def _add(found: dict[str, str], row: list[str], path: Path) -> None:
    if not row:
        return
    line = len(found) + 1
    if len(row) != _COLUMNS:
        raise InvalidDataset(
            f"Line {line} of {path.name} has {len(row)} columns.", hint="write name,label."
        )
    name, label = row
    if name in found:
        raise InvalidDataset(f"{path.name} labels {name} twice.", hint="keep one of the lines.")
    found[name] = label
