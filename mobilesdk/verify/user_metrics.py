"""Gates on metrics of the user's: functions of outputs and labels of the evaluation set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.gate import Gate, compare
from mobilesdk.core.metric import UserMetric
from mobilesdk.data.functions import UserCode, parse_reference
from mobilesdk.errors import StepFailed

Arrays = Mapping[str, NDArray[Any]]
_CODE = UserCode(StepFailed)


def metric_gates(
    metrics: Iterable[UserMetric],
    contract: Contract,
    reference: Arrays,
    artifact: Arrays,
    labels: NDArray[Any] | None,
) -> tuple[Gate, ...]:
    """Call every metric on what float model and artifact gave for the evaluation set; judge it.

    Args:
        metrics: Of the project.
        contract: Of the model.
        reference: Output name → ``[N, *shape]`` from the float model.
        artifact: The same from the artifact.
        labels: ``[N, …]``; without them nothing is evaluated.

    Raises:
        StepFailed: A function cannot be imported, raised, or gave no finite number.
    """
    if labels is None:
        return metrics_not_evaluated(metrics, "the evaluation set has no labels")
    floats, own = (_as_given(arrays, contract) for arrays in (reference, artifact))
    gates: list[Gate] = []
    for metric in metrics:
        function = _function(metric)
        reference_value = _value(metric, function, floats, labels)
        gates += _judge(metric, reference_value, _value(metric, function, own, labels), len(labels))
    return tuple(gates)


def metrics_not_evaluated(metrics: Iterable[UserMetric], reason: str) -> tuple[Gate, ...]:
    """Give the gates of metrics that nobody could call."""
    return tuple(
        _gate(metric, name, None, limit, 0, reason)
        for metric in metrics
        for name, limit in _limits(metric).items()
    )


def _limits(metric: UserMetric) -> dict[str, float]:
    limits = {"min": metric.min, "max": metric.max, "max_drop_of": metric.max_drop}
    return {f"{key}_{metric.name}": limit for key, limit in limits.items() if limit is not None}


def _judge(metric: UserMetric, reference: float, artifact: float, count: int) -> Iterable[Gate]:
    reason = f"float model {reference:.6g}, artifact {artifact:.6g}"
    for name, limit in _limits(metric).items():
        value = reference - artifact if name.startswith("max_drop_of_") else artifact
        yield _gate(metric, name, value, limit, count, reason)


def _gate(
    metric: UserMetric, name: str, value: float | None, limit: float, count: int, reason: str
) -> Gate:
    return Gate(
        name=name,
        metric=metric.name,
        value=value,
        limit=limit,
        unit="",
        sample_count=count,
        verdict="not_evaluated" if value is None else compare(name, value, limit),
        reason=reason,
    )


def _as_given(arrays: Arrays, contract: Contract) -> dict[str, NDArray[Any]]:
    """Give the outputs as a metric takes them: without a batch axis of 1, not to be written to.

    Of a model with states, the axis of steps follows that of the samples.
    """
    found = {}
    batch_axis = 2 if contract.states else 1
    for spec in contract.outputs:
        array = np.asarray(arrays[spec.name])
        one = spec.shape[:1] == (1,)
        found[spec.name] = (array.squeeze(batch_axis) if one else array).view()
        found[spec.name].flags.writeable = False
    return found


def _function(metric: UserMetric) -> Callable[..., Any]:
    parts = parse_reference(metric.function)
    if parts is None:
        raise StepFailed(f"{metric.function!r} names no function.")
    return _CODE.function(*parts)


def _value(
    metric: UserMetric,
    function: Callable[..., Any],
    outputs: dict[str, NDArray[Any]],
    labels: NDArray[Any],
) -> float:
    what = f"the metric {metric.name}, {metric.function},"
    value = _CODE.run(lambda: float(function(dict(outputs), labels)), what)
    if not math.isfinite(value):
        raise StepFailed(
            f"The metric {metric.name}, {metric.function}, gave {value}, which is no figure.",
            hint="look for a division by zero, and for labels that no sample has.",
        )
    return float(value)
