"""What an exporter says of its artifact, in the words of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import WeightRecord, WeightScheme
from mobilesdk.numerics.fingerprint import fingerprint


def expected_weight(
    record: WeightRecord,
    values: NDArray[Any],
    *,
    artifact_name: str = "",
    planned: WeightScheme | None = None,
    reason: str | None = None,
    merged: bool = False,
) -> ExpectedWeight:
    """Say what a file is to hold for one weight.

    Args:
        record: What its compressor decided.
        values: That the file should decode to, in any order of axes.
        artifact_name: Its name in the file; empty where the format keeps none.
        planned: Scheme that the exporter gives it, where it is not the record's.
        reason: Why it is planned so, where it is not the record's.
        merged: Whether the converter has made it part of another constant.
    """
    return ExpectedWeight(
        name=record.name,
        artifact_name=artifact_name,
        role=record.role,
        shape=record.shape,
        requested=record.requested,
        planned=record.planned if planned is None else planned,
        reason=record.reason if reason is None else reason,
        fingerprint=fingerprint(values),
        merged=merged,
    )


def summed_record(records: Sequence[WeightRecord], planned: WeightScheme) -> WeightRecord:
    """Give what stands for constants of one shape that are added up, and stored as their sum.

    Args:
        records: Of the constants.
        planned: Scheme of the sum.
    """
    return WeightRecord(
        name=" + ".join(record.name for record in records),
        role=records[0].role,
        shape=records[0].shape,
        requested=records[0].requested,
        planned=planned,
        reason="the converter added up two weights",
    )


def exported(model: Model, form: str, artifact: Path, expectation: Expectation) -> Model:
    """Write ``expectation.json`` beside an artifact; give the model that the artifact is.

    Args:
        model: What the artifact was made from.
        form: Name of the format.
        artifact: The file or package, in the output folder of the step.
        expectation: What a reader should find in it.
    """
    path = artifact.parent / "expectation.json"
    path.write_text(expectation.model_dump_json(indent=1) + "\n")
    return Model(form=form, path=artifact, traits=model.traits, sidecars={"expectation": path})
