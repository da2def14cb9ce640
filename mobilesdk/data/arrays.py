"""Read ``.npz`` and ``.npy`` files; their headers are checked before anything is allocated."""

from __future__ import annotations

import tokenize
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract, ImageInput, InputSpec
from mobilesdk.data.index import SourceKind
from mobilesdk.data.sample import Sample
from mobilesdk.errors import InvalidDataset, suggest

_LARGEST_BYTES = 8 << 30
_LARGEST_HEADER_BYTES = 10_000
# numpy parses a header as a Python literal, and lets the parser's errors through.
_HEADER_ERRORS = (
    ValueError,
    SyntaxError,
    TypeError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
LABELS = "labels"
"""Name of the array with the labels in a ``.npz``, unless an input has that name."""
_LABEL_KINDS = "biufU"
_CHANNEL_AXIS = {"NCHW": 0, "NHWC": 2}


@dataclass(frozen=True)
class Arrays:
    """Prepared arrays, one for each input: ``[N, *shape]``.

    Of a model with states, a sample is a sequence: ``[N, steps, *shape]``.
    """

    kind: SourceKind
    contract: Contract
    arrays: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            arrays = {spec.name: self.arrays[spec.name][index] for spec in self.contract.inputs}
            label = None if self.labels is None else self.labels[index]
            yield Sample(f"sample {index}", arrays, self._luminance(arrays), label)

    def _luminance(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
        """Give the mean of the channels of the only input, if that is an image.

        Its offset and scale do not matter to the checks.
        """
        spec = self.contract.inputs[0]
        preparation = spec.preparation
        is_one = len(self.contract.inputs) == 1 and not self.contract.states
        if not is_one or not isinstance(preparation, ImageInput):
            return None
        image = arrays[spec.name][0].astype(np.float32)
        mean: NDArray[np.float32] = image.mean(axis=_CHANNEL_AXIS[preparation.layout])
        return mean


def open_npz(path: Path, contract: Contract) -> Arrays:
    """Read an archive with one array for each input, by name, and ``labels`` if it has them.

    Raises:
        InvalidDataset: It is damaged or hostile, or its arrays do not fit the contract.
    """
    expected = {spec.name: spec for spec in contract.inputs}
    arrays = {}
    labels = None
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            _check_names(path, list(members), expected)
            for name, spec in expected.items():
                with archive.open(members[name]) as file:
                    size_bytes = members[name].file_size
                    what = f"{name} in {path.name}"
                    arrays[name] = _read(file, size_bytes, spec, what, steps=bool(contract.states))
            if LABELS in members and LABELS not in expected:
                with archive.open(members[LABELS]) as file:
                    what = f"{LABELS} in {path.name}"
                    labels = _read_any(file, members[LABELS].file_size, what)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    counted = arrays if labels is None else {**arrays, LABELS: labels}
    _check_counts(path, counted, "samples", axis=0)
    if contract.states:
        _check_counts(path, arrays, "steps", axis=1)
    return Arrays("npz", contract, arrays, labels)


def open_npy(path: Path, contract: Contract) -> Arrays:
    """Read one array, for a model with one input.

    Raises:
        InvalidDataset: It is damaged or hostile, or does not fit the contract.
    """
    if len(contract.inputs) != 1:
        names = ", ".join(spec.name for spec in contract.inputs)
        raise InvalidDataset(
            f"{path.name} holds one array, but the model has {len(contract.inputs)} inputs.",
            hint=f"write a .npz with the arrays {names}: numpy.savez(file, …).",
        )
    spec = contract.inputs[0]
    try:
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            array = _read(file, size_bytes, spec, path.name, steps=bool(contract.states))
    except OSError as error:
        raise _unreadable(path, error) from error
    return Arrays("npy", contract, {spec.name: array})


def _check_names(path: Path, found: list[str], expected: Mapping[str, InputSpec]) -> None:
    for name in found:
        if name not in expected and name != LABELS:
            raise InvalidDataset(
                f"{path.name} holds an array {name!r}, which is no input of the model.",
                hint=suggest(name, list(expected)),
            )
    for name in expected:
        if name not in found:
            raise InvalidDataset(
                f"{path.name} lacks the input {name!r}.",
                hint=f"add it; the file holds {', '.join(found) or 'nothing'}.",
            )


def _read(
    file: IO[bytes], size_bytes: int, spec: InputSpec, what: str, *, steps: bool
) -> NDArray[Any]:
    """Read an array after its header has been found to be as the contract says.

    Args:
        file: At the start of a ``.npy`` stream.
        size_bytes: Of the whole stream.
        spec: The input that it is for.
        what: Its name in messages.
        steps: Whether a sample is a sequence.

    Returns:
        ``[N, *spec.shape]``, or ``[N, steps, *spec.shape]``.
    """
    shape, fortran_order, dtype = _header(file, what)
    _check_dtype(dtype, spec, what)
    sample_shape = _sample_shape(shape, spec, what, steps=steps)
    array = _values(file, size_bytes, shape, dtype, what, fortran_order=fortran_order)
    return np.ascontiguousarray(array, np.dtype(spec.dtype)).reshape(shape[0], *sample_shape)


def read_array(path: Path) -> NDArray[Any]:
    """Read a ``.npy`` file of numbers or text, ``[N, …]``.

    Raises:
        InvalidDataset: It is damaged or hostile, or holds something else.
    """
    try:
        with path.open("rb") as file:
            return _read_any(file, path.stat().st_size, path.name)
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_any(file: IO[bytes], size_bytes: int, what: str) -> NDArray[Any]:
    shape, fortran_order, dtype = _header(file, what)
    if dtype.kind not in _LABEL_KINDS or not shape or min(shape) < 0:
        raise InvalidDataset(
            f"{what} is {dtype}{list(shape)}, which is no array of numbers or text with an axis of "
            "samples.",
            hint="give one label, or one row of numbers, for each sample.",
        )
    return _values(file, size_bytes, shape, dtype, what, fortran_order=fortran_order).copy()


def _values(
    file: IO[bytes],
    size_bytes: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    what: str,
    *,
    fortran_order: bool,
) -> NDArray[Any]:
    """Read what follows a header, after its size has been found to be there."""
    wanted_bytes = prod(shape) * dtype.itemsize
    if wanted_bytes > _LARGEST_BYTES:
        raise InvalidDataset(
            f"{what} has {wanted_bytes} bytes; at most {_LARGEST_BYTES} are read.",
            hint="use fewer samples: a few hundred are enough.",
        )
    data = file.read(wanted_bytes) if wanted_bytes <= size_bytes else b""
    if len(data) != wanted_bytes:
        raise InvalidDataset(
            f"{what} says that it holds {wanted_bytes} bytes, but does not.",
            hint="write the file again: it is damaged.",
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def _header(file: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    npy: Any = np.lib.format  # numpy has no types for these functions
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        with warnings.catch_warnings(action="error"):  # numpy warns of headers that it has to mend
            version = npy.read_magic(file)
            if version not in readers:
                raise ValueError(f"version {version} of the format")
            shape, fortran_order, dtype = readers[version](
                file, max_header_size=_LARGEST_HEADER_BYTES
            )
        return shape, fortran_order, dtype
    except (*_HEADER_ERRORS, Warning) as error:
        raise InvalidDataset(
            f"{what} is no array that numpy wrote: {error}",
            hint="write it with numpy.savez or numpy.save.",
        ) from error


def _check_dtype(dtype: np.dtype[Any], spec: InputSpec, what: str) -> None:
    if dtype.hasobject:
        raise InvalidDataset(
            f"{what} holds Python objects, which are never unpickled.",
            hint=f"convert it: array.astype({spec.dtype!r}).",
        )
    if dtype.newbyteorder("=") != np.dtype(spec.dtype):
        raise InvalidDataset(
            f"{what} is {dtype.name}, but the input is {spec.dtype}.",
            hint=f"convert it: array.astype({spec.dtype!r}).",
        )


def _sample_shape(
    shape: tuple[int, ...], spec: InputSpec, what: str, *, steps: bool
) -> tuple[int, ...]:
    """Give the shape of a sample if the array is one of them, with or without a batch of 1."""
    before = 2 if steps else 1
    held = shape[before:]
    fits = held == spec.shape or (spec.shape[:1] == (1,) and held == spec.shape[1:])
    if len(shape) < before or not fits or min(shape) < 0 or (steps and shape[1] < 1):
        inner = spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape
        axes = ["samples", *(["steps"] if steps else []), *map(str, inner)]
        is_step = "a step of the input" if steps else "the input"
        raise InvalidDataset(
            f"{what} has the shape {list(shape)}, but {is_step} is {list(spec.shape)}.",
            hint=f"give [{', '.join(axes)}].",
        )
    return (*shape[1:before], *spec.shape)


def _check_counts(path: Path, arrays: Mapping[str, NDArray[Any]], of: str, axis: int) -> None:
    counts = {name: array.shape[axis] for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InvalidDataset(
            f"The arrays in {path.name} hold different numbers of {of}: {text}.",
            hint=f"give all {of} once in each array, in the same order.",
        )


def _unreadable(path: Path, error: Exception) -> InvalidDataset:
    return InvalidDataset(
        f"{path.name} cannot be read: {error}", hint="write the file again: it is damaged."
    )
