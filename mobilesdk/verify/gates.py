"""Judge the figures of an artifact by a budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from mobilesdk.core.contract import Contract, OutputSpec
from mobilesdk.core.gate import Gate, Verification, compare
from mobilesdk.core.parity import Estimate, OutputParity, ParityReport
from mobilesdk.targets import Budget
from mobilesdk.targets.budget import AnyBudget, BoxBudget, MaskBudget, ValueBudget

_FIGURES = {
    "min_sqnr_db": ("sqnr_db", "dB"),
    "max_abs_error": ("max_abs_error", ""),
    "min_cosine": ("cosine", ""),
    "min_equality": ("equality", "ratio"),
    "min_top1_agreement": ("top1_agreement", "ratio"),
    "min_top5_agreement": ("top5_agreement", "ratio"),
    "max_kl": ("kl", "nats"),
    "min_sequence_agreement": ("sequence_agreement", "ratio"),
    "min_position_agreement": ("position_agreement_min", "ratio"),
    "min_neighbour_agreement": ("neighbour_agreement", "ratio"),
    "min_matched_boxes": ("matched_boxes", "ratio"),
    "min_mean_iou": ("mean_iou", "ratio"),
    "max_score_difference": ("score_difference", ""),
    "min_pixel_agreement": ("pixel_agreement", "ratio"),
}
"""Limit → the figure of `OutputParity` that it is about, and its unit."""

_FLOATS = frozenset({"float32", "float16"})
_OF_INTEGERS = frozenset({"min_equality"})
_MEASURED_ON_INTEGERS = _OF_INTEGERS | {
    *("max_abs_error", "min_sequence_agreement", "min_position_agreement"),
    *("min_mean_iou", "min_pixel_agreement"),
}
_NEED_A_LAYOUT = ({*BoxBudget.model_fields} | {*MaskBudget.model_fields}) - {
    *ValueBudget.model_fields
}
_LAYOUTS = {"boxes": "BoxLayout(…)", "mask": "MaskLayout(…)"}

NON_FINITE_RUNS = "max_non_finite_runs"
"""Name of the one gate that no budget asks for and none can lift."""


def judge(
    budget: Budget,
    contract: Contract,
    parity: ParityReport | None,
    artifact_size_bytes: int,
    float_size_bytes: int,
) -> tuple[Gate, ...]:
    """Check every limit of a budget that applies to a model.

    Of ``[budget.any]``, ``min_equality`` applies to outputs of integers, and the other limits to
    those of floating-point numbers. A limit without a figure is ``not_evaluated``, never
    ``passed``.

    Args:
        budget: Of the profile.
        contract: Of the model.
        parity: What was measured; ``None`` if the artifact was not run.
        artifact_size_bytes: Of the file, or of all files of the package.
        float_size_bytes: Of all parameters and buffers at float32.

    Returns:
        Gates on size, then those of each output in the order of the contract.
    """
    gates = list(_size_gates(budget, artifact_size_bytes, float_size_bytes))
    for spec in contract.outputs:
        limits = _limits(budget, spec)
        gates += [
            _output_gate(name, limits[name], spec, parity) for name in _FIGURES if name in limits
        ]
    return tuple(gates)


def judge_sizes(
    budget: Budget, contract: Contract, found: Mapping[str, ParityReport]
) -> tuple[Gate, ...]:
    """Check the limits on numbers at each of the sizes that a model with dimensions is judged at.

    A few samples tell how near the numbers are, and not how often the best class is the same: so
    only limits on values apply. An output without one is ``not_evaluated`` at every size.

    Args:
        budget: Of the profile.
        contract: Of the model.
        found: Sizes, as ``length=16`` → what was measured on the goldens of these sizes.
    """
    gates = []
    for at, parity in found.items():
        for spec in contract.outputs:
            limits = _limits(budget, spec)
            own = [
                _output_gate(name, limits[name], spec, parity)
                for name in ValueBudget.model_fields
                if name in limits
            ]
            own = own or [_unjudged(spec)]
            gates += [gate.model_copy(update={"at": at}) for gate in own]
    return tuple(gates)


def _unjudged(spec: OutputSpec) -> Gate:
    name = "min_sqnr_db" if spec.dtype in _FLOATS else "min_equality"
    reason = f"the profile has no limit on the values of {spec.name}"
    return _not_evaluated(name, 0.0, _FIGURES[name][1], spec, reason)


def non_finite_gate(non_finite_count: int, run_count: int, first: str) -> Gate:
    """Judge runs in which an op made infinity of finite numbers, or NaN.

    The outputs may hide it. A device that saturates, or that orders its sums in another way, then
    gives something else, so one such run is one too many.

    Args:
        non_finite_count: Such runs.
        run_count: All of them, goldens and evaluation set.
        first: What was found in the first of them; names the op.
    """
    return Gate(
        name=NON_FINITE_RUNS,
        value=non_finite_count,
        limit=0,
        unit="runs",
        sample_count=run_count,
        verdict=compare(NON_FINITE_RUNS, non_finite_count, 0),
        reason=first,
    )


def without_limit(contract: Contract, gates: Iterable[Gate]) -> tuple[str, ...]:
    """Name the outputs that no gate is about: nothing was asked of their numbers."""
    judged = {gate.output for gate in gates if not gate.at}
    return tuple(spec.name for spec in contract.outputs if spec.name not in judged)


def never_evaluated(gates: Iterable[Gate], reason: str) -> tuple[Gate, ...]:
    """Turn gates without a figure into ``unverifiable`` ones: no run here could give one."""
    return tuple(
        gate.model_copy(update={"verdict": "unverifiable", "reason": reason})
        if gate.verdict == "not_evaluated"
        else gate
        for gate in gates
    )


def verification(
    gates: Iterable[Gate],
    run_by: Literal["runtime", "reference"] | None,
    *,
    unverifiable: bool = False,
) -> Verification:
    """Give the state that the gates of an artifact amount to.

    Args:
        gates: All of them.
        run_by: Who ran the artifact for its figures; ``None`` if nobody did.
        unverifiable: Whether no run here can tell the results of the artifact.
    """
    verdicts = {gate.verdict for gate in gates}
    if "failed" in verdicts:
        return Verification.FAILED_GATE
    if unverifiable:
        return Verification.UNVERIFIABLE
    if run_by is None or "not_evaluated" in verdicts:
        return Verification.NOT_EVALUATED
    if run_by == "runtime":
        return Verification.VERIFIED_ON_HOST
    return Verification.VERIFIED_BY_REFERENCE


def _limits(budget: Budget, spec: OutputSpec) -> dict[str, float]:
    """Give the limits that an output is held to: integers have no SQNR, cosine or best class."""
    of_any, of_kind = budget.of_any(), budget.of_kind(spec.kind)
    if spec.dtype in _FLOATS:
        limits = of_any | of_kind
        return {name: limit for name, limit in limits.items() if name not in _OF_INTEGERS}
    of_any = {name: limit for name, limit in of_any.items() if name in _OF_INTEGERS}
    of_kind = {name: limit for name, limit in of_kind.items() if name in _MEASURED_ON_INTEGERS}
    return of_any | of_kind


def _size_gates(budget: Budget, size_bytes: int, float_size_bytes: int) -> Iterator[Gate]:
    limits = budget.any
    if limits.max_size_ratio is not None:
        float_size_bytes = max(float_size_bytes, 1)  # a model without weights is all graph
        limit = limits.max_size_ratio + limits.graph_allowance_bytes / float_size_bytes
        ratio = size_bytes / float_size_bytes
        yield Gate(
            name="max_size_ratio",
            value=ratio,
            limit=limit,
            unit="ratio",
            verdict=compare("max_size_ratio", ratio, limit),
            reason=_ratio_reason(limits),
        )
    if limits.max_size_bytes is not None:
        yield Gate(
            name="max_size_bytes",
            value=size_bytes,
            limit=limits.max_size_bytes,
            unit="bytes",
            verdict=compare("max_size_bytes", size_bytes, limits.max_size_bytes),
        )


def _ratio_reason(limits: AnyBudget) -> str:
    if not limits.graph_allowance_bytes:
        return ""
    return (
        f"The limit is max_size_ratio = {limits.max_size_ratio} and "
        f"graph_allowance_bytes = {limits.graph_allowance_bytes} over the float32 size."
    )


def _output_gate(name: str, limit: float, spec: OutputSpec, parity: ParityReport | None) -> Gate:
    figure, unit = _FIGURES[name]
    if parity is None:
        return _not_evaluated(name, limit, unit, spec, "the artifact was not run")
    estimate = _estimate(figure, spec, parity.outputs)
    if estimate is None:
        return _not_evaluated(name, limit, unit, spec, _why_missing(name, spec))
    return Gate(
        name=name,
        output=spec.name,
        value=estimate.value,
        limit=limit,
        unit=unit,
        interval=estimate.interval,
        sample_count=parity.sample_count,
        verdict=compare(name, estimate.value, limit),
    )


def _why_missing(name: str, spec: OutputSpec) -> str:
    if name not in _NEED_A_LAYOUT:
        return f"no such figure for {spec.kind} outputs"
    if spec.layout is None:
        layout = _LAYOUTS[spec.kind]
        return f"the contract does not say how the numbers lie: outputs={{{spec.name!r}: {layout}}}"
    return f"no {spec.kind} in the evaluation set, or no scores or classes to compare"


def _not_evaluated(name: str, limit: float, unit: str, spec: OutputSpec, reason: str) -> Gate:
    return Gate(
        name=name,
        output=spec.name,
        value=None,
        limit=limit,
        unit=unit,
        verdict="not_evaluated",
        reason=reason,
    )


def _estimate(figure: str, spec: OutputSpec, outputs: tuple[OutputParity, ...]) -> Estimate | None:
    found = next((output for output in outputs if output.name == spec.name), None)
    estimate: Estimate | None = getattr(found, figure, None)
    return estimate
