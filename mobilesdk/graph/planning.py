"""Choose a scheme for every weight of a program, on top of what earlier methods chose."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mobilesdk.core.scheme import CompressionRecord, WeightRecord, WeightRole, WeightScheme
from mobilesdk.graph.roles import weights as list_weights
from mobilesdk.graph.schemes import compose, plan_weight


def planned_schemes(record: CompressionRecord) -> dict[str, WeightScheme]:
    """Map the fully qualified name of each recorded weight to its scheme."""
    return {weight.name: weight.planned for weight in record.weights}


def plan_weights(
    program: torch.export.ExportedProgram,
    requests: Mapping[WeightRole, WeightScheme],
    before: CompressionRecord,
    minimum_elements: int,
) -> tuple[WeightRecord, ...]:
    """Decide the scheme of every weight whose role is asked for, in the order of the program.

    Args:
        program: Whose weights are planned.
        requests: What is asked for each role; weights of other roles are left out.
        before: What earlier methods decided.
        minimum_elements: Smaller weights stay as they are.
    """
    earlier = planned_schemes(before)
    records = []
    for weight in list_weights(program):
        if weight.role not in requests:
            continue
        scheme_before = earlier.get(weight.name, WeightScheme())
        requested = compose(requests[weight.role], scheme_before)
        planned, reason = plan_weight(
            requested,
            weight.role,
            weight.shape,
            before=scheme_before,
            minimum_elements=minimum_elements,
        )
        records.append(
            WeightRecord(
                name=weight.name,
                role=weight.role,
                shape=weight.shape,
                requested=requested,
                planned=planned,
                reason=reason,
            )
        )
    return tuple(records)


def merge_records(
    before: tuple[WeightRecord, ...], records: tuple[WeightRecord, ...]
) -> tuple[WeightRecord, ...]:
    """Let new records take the place of older ones on the same weights."""
    merged = {record.name: record for record in (*before, *records)}
    return tuple(merged.values())
