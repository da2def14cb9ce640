"""What the sidecars of a model say of its weights.

Plain data: importing this loads no torch.
"""

from __future__ import annotations

from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import CompressionRecord, WeightRecord, WeightScheme


def read_summary(model: Model) -> ModelSummary:
    """Read what the frontend wrote of a model."""
    return ModelSummary.model_validate_json(model.sidecars["summary"].read_bytes())


def read_record(model: Model) -> CompressionRecord:
    """Read what earlier methods did to a model; an empty record if none did anything."""
    path = model.sidecars.get("compression")
    return CompressionRecord.model_validate_json(path.read_bytes()) if path else CompressionRecord()


def complete_record(model: Model) -> CompressionRecord:
    """Read the record with a line for every weight, in the order of the model.

    A weight that no method looked at was asked to be float32, and is.
    """
    record = read_record(model)
    known = {weight.name: weight for weight in record.weights}
    weights = (
        known.get(weight.name)
        or WeightRecord(
            name=weight.name,
            role=weight.role,
            shape=weight.shape,
            requested=WeightScheme(),
            planned=WeightScheme(),
        )
        for weight in read_summary(model).weights
    )
    return record.model_copy(update={"weights": tuple(weights)})
