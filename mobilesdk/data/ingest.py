"""Check a set, prepare it by the contract, and store it for all later steps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mobilesdk.core.contract import Contract, InputSpec
from mobilesdk.data.array_file import ArrayFile
from mobilesdk.data.checks import check_count, check_duplicates, check_sample
from mobilesdk.data.index import INDEX_NAME, SampleIndex, SampleRecord, StoredInput
from mobilesdk.data.labels import as_array, open_labels
from mobilesdk.data.sample import Source
from mobilesdk.data.source import open_samples
from mobilesdk.data.stored import StoredSamples, array_path, labels_path, row_path
from mobilesdk.errors import WriteFailed


def ingest(
    path: Path,
    contract: Contract,
    output: Path,
    *,
    allow_small: bool = False,
    labels: Path | None = None,
    tokenizer: str | None = None,
    report: Callable[..., None] = lambda *_: None,
) -> StoredSamples:
    """Check, prepare and store a set.

    Args:
        path: As for `open_samples`.
        contract: Of the model.
        output: An empty folder. Gets ``<input>.npy`` for each input, ``[count, *shape]``, or
            ``[count, steps, *shape]`` of a model with states, or ``<input>-<place>.npy`` for each
            sample of a model with dimensions; and ``samples.json`` (`SampleIndex`), written last.
        allow_small: Accept fewer than 32 samples.
        labels: A file with the label of each sample, in place of those that the set itself has.
        tokenizer: ``package.module:function`` that makes the inputs of a text.
        report: Called with a message and the share done (0 … 1).

    Returns:
        The stored set.

    Raises:
        InvalidDataset: The set cannot be used.
        WriteFailed: The file system refused a write.
    """
    source = open_samples(path, contract, tokenizer)
    given = None if labels is None else open_labels(labels)
    try:
        is_ragged = bool(contract.dimensions)
        if is_ragged:
            shapes = {spec.name: spec.shape for spec in contract.inputs}
            records, found = _store_apart(source, contract.inputs, output, report)
        else:
            records, shapes, found = _store(source, contract.inputs, output, report)
        values = as_array(found) if given is None else given.of([each.name for each in records])
        check_count(len(records), allow_small=allow_small)
        check_duplicates(records)
        index = SampleIndex(
            kind=source.kind,
            count=len(records),
            digest=_digest(records),
            inputs=tuple(
                StoredInput(name=spec.name, shape=shapes[spec.name], dtype=spec.dtype)
                for spec in contract.inputs
            ),
            samples=tuple(records),
            is_ragged=is_ragged,
            labelled=values is not None,
        )
        if values is not None:
            np.save(labels_path(output), values, allow_pickle=False)
        (output / INDEX_NAME).write_text(index.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteFailed(
            f"The samples cannot be written to {output}: {error}",
            hint="free some space, or name another cache with XDG_CACHE_HOME.",
        ) from error
    return StoredSamples(output)


def _store(
    source: Source, specs: Sequence[InputSpec], output: Path, report: Callable[..., None]
) -> tuple[list[SampleRecord], dict[str, tuple[int, ...]], list[Any]]:
    """Write the inputs; give the records of the samples, the shape of each input, and labels."""
    count = len(source)
    records: list[SampleRecord] = []
    labels: list[Any] = []
    files: dict[str, ArrayFile] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    with ExitStack() as stack:
        for place, sample in enumerate(source):
            check_sample(sample, specs)
            for spec in specs:
                values = sample.arrays[spec.name]
                if spec.name not in files:
                    shapes[spec.name] = values.shape
                    file = ArrayFile(
                        array_path(output, spec.name), spec.dtype, (count, *values.shape)
                    )
                    files[spec.name] = stack.enter_context(file)
                files[spec.name].append(values)
            records.append(SampleRecord(name=sample.name, digest=sample.digest()))
            labels.append(sample.label)
            report(f"{place + 1} of {count} samples", (place + 1) / count)
    return records, shapes, labels


def _store_apart(
    source: Source, specs: Sequence[InputSpec], output: Path, report: Callable[..., None]
) -> tuple[list[SampleRecord], list[Any]]:
    """Write each input of each sample by itself; give the records of the samples, and labels."""
    count = len(source)
    records: list[SampleRecord] = []
    labels: list[Any] = []
    for place, sample in enumerate(source):
        check_sample(sample, specs)
        for spec in specs:
            values = sample.arrays[spec.name]
            with ArrayFile(row_path(output, spec.name, place), spec.dtype, values.shape) as file:
                for part in values:
                    file.append(part)
        records.append(SampleRecord(name=sample.name, digest=sample.digest()))
        labels.append(sample.label)
        report(f"{place + 1} of {count} samples", (place + 1) / count)
    return records, labels


def _digest(records: Sequence[SampleRecord]) -> str:
    return hashlib.sha256("".join(record.digest for record in records).encode()).hexdigest()
