"""Samples that a function of the user's gives: from text, or as they come."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract, InputSpec
from mobilesdk.core.sizes import sizes_of
from mobilesdk.data.arrays import LABELS
from mobilesdk.data.folder import files_of_set
from mobilesdk.data.functions import UserCode, parse_reference
from mobilesdk.data.labels import folder_labels
from mobilesdk.data.sample import Sample
from mobilesdk.errors import InvalidDataset, suggest

_LARGEST_TEXT_BYTES = 64 << 20
_LARGEST_BYTES = 8 << 30
_MOST_SAMPLES = 100_000
_CODE = UserCode(InvalidDataset)


@dataclass(frozen=True)
class Texts:
    """Texts, each turned into the inputs by the user's tokenizer."""

    names: tuple[str, ...]
    read: Callable[[int], str]
    tokenize: Callable[[str], Any]
    tokenizer: str
    contract: Contract
    labels: tuple[Any, ...]
    kind: Literal["text"] = "text"

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        for place, name in enumerate(self.names):
            text = self.read(place)
            given = _CODE.run(partial(self.tokenize, text), f"{self.tokenizer} of {name}")
            yield sample_of(given, name, self.contract, self.labels[place])


@dataclass(frozen=True)
class Given:
    """What an iterable of the user's gave."""

    samples: tuple[Sample, ...]
    kind: Literal["iterable"] = "iterable"

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def open_texts(path: Path, contract: Contract, tokenizer: str) -> Texts:
    """Find texts: a sample in each line of a ``.txt`` file, or in each ``.txt`` file of a folder.

    Args:
        path: File or folder, in UTF-8. Empty lines are passed over.
        contract: Of the model.
        tokenizer: ``package.module:function`` or ``file.py:function``; gives for a text a mapping
            from input to array, or the array of the only input.

    Raises:
        InvalidDataset: There is no such function, or something is no text.
    """
    tokenize = _function(tokenizer)
    if path.is_dir():
        files = tuple(files_of_set(path))
        names = tuple(file.relative_to(path).as_posix() for file in files)
        labels = folder_labels(names, contract.labels)
        return Texts(
            names,
            lambda place: _text(files[place], names[place]),
            tokenize,
            tokenizer,
            contract,
            labels,
        )
    numbered = enumerate(_text(path, path.name).splitlines())
    lines = [(place, line) for place, line in numbered if line.strip()]
    return Texts(
        tuple(f"line {place + 1}" for place, _ in lines),
        lambda place: lines[place][1],
        tokenize,
        tokenizer,
        contract,
        (None,) * len(lines),
    )


def open_iterable(reference: str, contract: Contract) -> Given:
    """Take all samples of an iterable, or of what a function without arguments returns.

    A sample is a mapping from input to array, with ``labels`` if it has a label, or the array of
    the only input.

    Args:
        reference: ``package.module:name`` or ``file.py:name``.
        contract: Of the model.

    Raises:
        InvalidDataset: There is none, it raised, does not fit the contract, or does not end.
    """
    parts = parse_reference(reference)
    if parts is None:
        raise InvalidDataset(
            f"{reference!r} names no iterable.", hint="give package.module:name or file.py:name."
        )
    found = _CODE.value(*parts)
    made = _CODE.run(found, reference) if callable(found) else found
    if not isinstance(made, Iterable):
        raise InvalidDataset(
            f"{reference} is a {type(made).__name__}, and gives no samples.",
            hint="name a list or generator of samples, or a function that returns one.",
        )
    samples: list[Sample] = []
    size_bytes = 0
    items = iter(made)
    end = object()
    while (item := _CODE.run(lambda: next(items, end), reference)) is not end:
        name = f"sample {len(samples)}"
        samples.append(sample_of(item, name, contract, None))
        size_bytes += sum(array.nbytes for array in samples[-1].arrays.values())
        if len(samples) > _MOST_SAMPLES or size_bytes > _LARGEST_BYTES:
            raise InvalidDataset(
                f"{reference} gives more than {_MOST_SAMPLES} samples or {_LARGEST_BYTES} bytes.",
                hint="let it end: a few hundred samples are enough.",
            )
    return Given(tuple(samples))


def sample_of(given: Any, name: str, contract: Contract, label: Any) -> Sample:
    """Make a sample of what a function gave; its dimensions may have any size that is allowed.

    Raises:
        InvalidDataset: It does not fit the contract.
    """
    expected = {spec.name: spec for spec in contract.inputs}
    values = given if isinstance(given, Mapping) else {next(iter(expected)): given}
    if not isinstance(given, Mapping) and len(expected) != 1:
        raise InvalidDataset(
            f"{name} is one {type(given).__name__}, but the model has {len(expected)} inputs.",
            hint=f"give a mapping with {', '.join(expected)}.",
        )
    if LABELS in values and LABELS not in expected:
        label = values[LABELS]
        values = {key: value for key, value in values.items() if key != LABELS}
    for key in values:
        if key not in expected:
            raise InvalidDataset(
                f"{name} holds {key!r}, which is no input of the model.",
                hint=suggest(str(key), list(expected)),
            )
    missing = [key for key in expected if key not in values]
    if missing:
        raise InvalidDataset(f"{name} lacks the input {missing[0]!r}.", hint="give every input.")
    free = {
        key: {axis for each in contract.dimensions for axis in each.axes.get(key, ())}
        for key in expected
    }
    arrays = {
        key: _fit(values[key], spec, f"{key} of {name}", free[key])
        for key, spec in expected.items()
    }
    if sizes_of(contract, {key: array.shape for key, array in arrays.items()}) is None:
        shapes = ", ".join(f"{key} {list(array.shape)}" for key, array in arrays.items())
        raise InvalidDataset(
            f"{name} has {shapes}, but the model has {', '.join(map(str, contract.dimensions))}.",
            hint="pad or cut it to sizes that the contract allows.",
        )
    return Sample(name=name, arrays=arrays, label=label)


def _fit(value: Any, spec: InputSpec, what: str, free: Container[int]) -> NDArray[Any]:
    """Copy a value in the shape and dtype of an input; integers only if they stay what they are.

    Axes that are free may have any size.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidDataset(f"{what} is no array: {error}", hint="give numpy arrays.") from error
    whole = np.issubdtype(np.dtype(spec.dtype), np.floating)
    same_kind = array.dtype.kind == "f" if whole else array.dtype.kind in "biu"
    shape = array.shape
    if spec.shape[:1] == (1,) and len(shape) == len(spec.shape) - 1:
        shape = (1, *shape)
    fits = len(shape) == len(spec.shape) and all(
        size == own or (axis in free and size > 0)
        for axis, (size, own) in enumerate(zip(shape, spec.shape, strict=True))
    )
    if not same_kind or not fits:
        raise InvalidDataset(
            f"{what} is {array.dtype}{list(array.shape)}, but the input is "
            f"{spec.dtype}{list(spec.shape)}.",
            hint="pad, cut or convert it as the model was trained.",
        )
    with np.errstate(over="ignore"):
        fitted = np.array(array, np.dtype(spec.dtype), order="C").reshape(shape)
    if not whole and not (fitted == array.reshape(shape)).all():
        raise InvalidDataset(
            f"{what} holds numbers that {spec.dtype} does not have.", hint="look at the ids."
        )
    return fitted


def _function(reference: str) -> Callable[[str], Any]:
    parts = parse_reference(reference)
    if parts is None:
        raise InvalidDataset(
            f"{reference!r} names no tokenizer.",
            hint="give package.module:function or file.py:function.",
        )
    return _CODE.function(*parts)


def _text(path: Path, name: str) -> str:
    if not path.is_file() or path.suffix != ".txt":
        raise InvalidDataset(f"{name} is no .txt file.", hint="remove it, or rename it.")
    size_bytes = path.stat().st_size
    if size_bytes > _LARGEST_TEXT_BYTES:
        raise InvalidDataset(
            f"{name} has {size_bytes} bytes; at most {_LARGEST_TEXT_BYTES} are read.",
            hint="use fewer samples: a few hundred are enough.",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataset(
            f"{name} cannot be read: {error}", hint="store it as UTF-8."
        ) from error
