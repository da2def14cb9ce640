"""The record beside a stored set: what it holds, without the values."""

from __future__ import annotations

from typing import Literal

from mobilesdk.core.contract import DType
from mobilesdk.core.frozen import Frozen

SourceKind = Literal["images", "npz", "npy", "audio", "text", "iterable"]
INDEX_NAME = "samples.json"


class SampleRecord(Frozen):
    """One sample: what a person calls it, and the SHA-256 of its prepared values."""

    name: str
    digest: str


class StoredInput(Frozen):
    """One input: its name and the shape and dtype of a sample, batch axis first."""

    name: str
    shape: tuple[int, ...]
    dtype: DType


class SampleIndex(Frozen):
    """``samples.json``.

    Attributes:
        schema_version: Of this file.
        kind: What the set was made from.
        count: Number of samples.
        digest: SHA-256 over the digests of the samples, in order.
        inputs: In the contract's order.
        samples: In order.
        is_ragged: Whether samples may differ in shape, each with files of its own; `inputs` have
            the shapes of the contract then.
        labelled: Whether there are labels beside the inputs.
    """

    schema_version: Literal[1] = 1
    kind: SourceKind
    count: int
    digest: str
    inputs: tuple[StoredInput, ...]
    samples: tuple[SampleRecord, ...]
    is_ragged: bool = False
    labelled: bool = False
