"""Choose a scheme for every weight of a program, on top of what earlier methods chose."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mobilesdk.core.model import ModelWeight
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
    earlier = {weight.name: weight for weight in before.weights}
    return tuple(
        _plan(weight, requests[weight.role], earlier.get(weight.name), minimum_elements)
        for weight in list_weights(program)
        if weight.role in requests
    )


def _plan(
    weight: ModelWeight,
    request: WeightScheme,
    earlier: WeightRecord | None,
    minimum_elements: int,
) -> WeightRecord:
    """Plan one weight; zeros that an earlier method could not give stay asked for, with why."""
    before = earlier.planned if earlier else WeightScheme()
    asked_before = earlier.requested if earlier else WeightScheme()
    reachable = compose(request, before)
    planned, reason = plan_weight(
        reachable,
        weight.role,
        weight.shape,
        before=before,
        minimum_elements=minimum_elements,
    )
    requested = compose(request, asked_before)
    if earlier and requested.sparsity > reachable.sparsity:
        reason = "; ".join(filter(None, dict.fromkeys((earlier.reason, reason))))
    return WeightRecord(
        name=weight.name,
        role=weight.role,
        shape=weight.shape,
        requested=requested,
        planned=planned,
        reason=reason,
    )


def merge_records(
    before: tuple[WeightRecord, ...], records: tuple[WeightRecord, ...]
) -> tuple[WeightRecord, ...]:
    """Let new records take the place of older ones on the same weights."""
    merged = {record.name: record for record in (*before, *records)}
    return tuple(merged.values())
