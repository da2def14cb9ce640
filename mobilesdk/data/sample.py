"""One sample, and what a source of samples offers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mobilesdk.data.index import SourceKind


@dataclass(frozen=True)
class Sample:
    """One sample, prepared for the model.

    Attributes:
        name: What a person calls it: a path within the folder, ``sample 12`` in an array.
        arrays: Input name → array of the contract's shape and dtype.
        label: What it shows, for metrics: a number, text or an array; ``None`` if nobody says.
        luminance: ``float32[H, W]``, 0…255, at the image's own resolution; ``None`` if it is none.
    """

    name: str
    arrays: Mapping[str, NDArray[Any]]
    luminance: NDArray[np.float32] | None = None
    label: Any = None

    def digest(self) -> str:
        """SHA-256 over names, dtypes, shapes and values of all inputs, in order."""
        digest = hashlib.sha256()
        for name, array in self.arrays.items():
            digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def run_sequence(
    run: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]],
    sample: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """Run a sample of a model with states: step by step, along the first axis of its arrays.

    Args:
        run: Gives the outputs of one step, and keeps the states from call to call.
        sample: Input name → ``[steps, *shape]``.

    Returns:
        Output name → ``[steps, *shape]``.
    """
    step_count = len(next(iter(sample.values())))
    rows = [
        run({name: values[step] for name, values in sample.items()}) for step in range(step_count)
    ]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class Source(Protocol):
    """A set as the user has it: a fixed number of samples in a fixed order."""

    @property
    def kind(self) -> SourceKind:
        """What it is."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Sample]: ...
