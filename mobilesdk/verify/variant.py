"""Verify one written artifact: read it, hold it to its plan, run it, judge its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from mobilesdk.core.artifact import ArtifactInfo, OpInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.gate import Gate
from mobilesdk.core.ledger import Expectation, Ledger
from mobilesdk.core.metric import UserMetric
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.parity import ParityReport
from mobilesdk.core.sizes import label
from mobilesdk.core.step import Samples, StepContext
from mobilesdk.data.goldens import golden_groups, grouped
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.plugins import ExecutedBy, RuntimeSession, runtime
from mobilesdk.verify.delegation import enforce_fallback
from mobilesdk.verify.floors import judge_floors
from mobilesdk.verify.gates import (
    judge,
    judge_sizes,
    never_evaluated,
    non_finite_gate,
    verification,
    without_limit,
)
from mobilesdk.verify.ledger import build_ledger, enforce
from mobilesdk.verify.parity import check_finite, compare
from mobilesdk.verify.record import (
    EXPECTED_NAME,
    LEDGER_NAME,
    NO_EVALUATION_SET,
    RECORD_NAME,
    VariantRecord,
    VerifyConfig,
)
from mobilesdk.verify.runs import Runs
from mobilesdk.verify.soundness import enforce_contract, enforce_sound
from mobilesdk.verify.user_metrics import metric_gates, metrics_not_evaluated

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Measured:
    """What runs of an artifact gave.

    Attributes:
        parity: On the evaluation set; ``None`` without one, or if the artifact did not run.
        gates: On the runs themselves, and on metrics of the project.
        sizes: Of a model with dimensions: sizes → parity of the goldens at these.
    """

    parity: ParityReport | None = None
    gates: tuple[Gate, ...] = ()
    sizes: Mapping[str, ParityReport] = field(default_factory=dict)

    @property
    def has_figures(self) -> bool:
        """Whether a figure comes from a run."""
        return bool(self.parity or self.sizes) or any(gate.value is not None for gate in self.gates)


def verify_artifact(
    path: Path,
    *,
    runtime_name: str,
    summary: ModelSummary,
    expectation: Expectation | None,
    reference: Path,
    evaluation: Samples | None,
    config: VerifyConfig,
    context: StepContext,
    labels: NDArray[Any] | None = None,
) -> None:
    """Verify an artifact; write ``record.json``, ``ledger.json`` and ``expected.safetensors``.

    Args:
        path: The artifact.
        runtime_name: Runtime that reads and runs it.
        summary: Of the float model.
        expectation: What its exporter says; ``None`` for a foreign artifact.
        reference: Folder with the float outputs and the golden inputs.
        evaluation: The evaluation set, if there is one.
        config: What it is held to.
        context: Where to write.
        labels: Of the evaluation set, ``[samples, …]``.

    Raises:
        ArtifactInvalid: It does not load, run, hold finite numbers, or keep to the contract.
        StepFailed: A metric of the project raised, or gave no figure.
        CompressionIncomplete: It does not hold what was planned.
        DelegationRefused: Ops are outside the delegate.
    """
    plugin = runtime(runtime_name)
    info = plugin.inspect(path)
    enforce_sound(info)
    enforce_contract(info, summary.contract)
    _check_plan(info, expectation, summary, config, context)
    refusal = plugin.refuses(info)
    if refusal:
        runner, measured = None, _Measured(gates=metrics_not_evaluated(config.metrics, refusal))
    else:
        runner = plugin.executes_by(info)
        session = plugin.load(path, summary.contract, context.threads)
        measured = _measure(
            session, summary.contract, reference, evaluation, labels, config.metrics, context
        )
    gates = _gates(info, summary, config, measured)
    reason = refusal or _why_not_evaluated(summary.contract, gates, measured)
    record = VariantRecord(
        verification=verification(
            gates, None if reason else runner, unverifiable=bool(info.unverifiable)
        ),
        reason=reason,
        ran_on=_ran_on(info, runner) if runner and measured.has_figures else "",
        gates=gates,
        parity=measured.parity,
        size_bytes=info.size_bytes,
        minimum_os=info.minimum_os,
        delegates=info.delegates,
        op_counts=_op_counts(info.ops),
        inputs=info.inputs,
        outputs=info.outputs,
        states=info.states,
        sizes=tuple(measured.sizes),
        notes=() if expectation is None else expectation.notes,
    )
    (context.output / RECORD_NAME).write_text(record.model_dump_json())


def _check_plan(
    info: ArtifactInfo,
    expectation: Expectation | None,
    summary: ModelSummary,
    config: VerifyConfig,
    context: StepContext,
) -> None:
    ledger = Ledger(entries=())
    if expectation is not None:
        shapes = {weight.name: weight.shape for weight in summary.weights}
        ledger = build_ledger(expectation, info, shapes)
    (context.output / LEDGER_NAME).write_text(ledger.model_dump_json())
    enforce(ledger, config.allow_partial)
    if config.fallback is not None:
        enforce_fallback(info, config.fallback)


def _measure(
    session: RuntimeSession,
    contract: Contract,
    reference: Path,
    evaluation: Samples | None,
    labels: NDArray[Any] | None,
    metrics: tuple[UserMetric, ...],
    context: StepContext,
) -> _Measured:
    """Run the goldens, and the evaluation set if there is one."""
    runs = Runs(session, contract)
    expected = runs.goldens(load_file(reference / "golden_inputs.safetensors"))
    save_file(expected, context.output / EXPECTED_NAME)
    outputs = None if evaluation is None else runs.evaluation(evaluation, context)
    parity, gates = None, metrics_not_evaluated(metrics, NO_EVALUATION_SET)
    golden = load_file(reference / "golden_outputs.safetensors")
    try:
        check_finite(golden, expected)
        sizes = _compare_sizes(contract, golden, expected)
        if outputs is not None:
            floats = _reference(reference, contract)
            parity = compare(contract, floats, outputs)
            gates = metric_gates(metrics, contract, floats, outputs, labels)
    except ArtifactInvalid as error:
        message = " ".join(filter(None, [error.message, runs.first_non_finite]))
        raise ArtifactInvalid(message, hint=error.hint) from error
    if runs.non_finite_count:
        found = non_finite_gate(runs.non_finite_count, runs.count, runs.first_non_finite)
        gates = (*gates, found)
    return _Measured(parity, gates, sizes)


def _compare_sizes(contract: Contract, golden: Arrays, found: Arrays) -> dict[str, ParityReport]:
    """Compare what the float model and the artifact give at each size that is judged."""
    floats, own = grouped(golden), grouped(found)
    groups = {label(sizes): group for group, sizes in golden_groups(contract).items()}
    return {at: compare(contract, floats[group], own[group]) for at, group in groups.items()}


def _reference(folder: Path, contract: Contract) -> dict[str, NDArray[Any]]:
    return {
        spec.name: np.load(folder / f"reference_{index}.npy", mmap_mode="r", allow_pickle=False)
        for index, spec in enumerate(contract.outputs)
    }


def _gates(
    info: ArtifactInfo, summary: ModelSummary, config: VerifyConfig, measured: _Measured
) -> tuple[Gate, ...]:
    contract, sizes = summary.contract, (info.size_bytes, summary.float_size_bytes)
    asked = judge(config.budget, contract, measured.parity, *sizes)
    at_sizes = judge_sizes(config.budget, contract, measured.sizes)
    if config.foreign is not None:
        asked = judge_floors(info, contract, measured.parity)
        at_sizes = _floors_at_sizes(info, contract, measured)
    gates = (*asked, *at_sizes, *measured.gates)
    return never_evaluated(gates, "; ".join(info.unverifiable)) if info.unverifiable else gates


def _floors_at_sizes(
    info: ArtifactInfo, contract: Contract, measured: _Measured
) -> tuple[Gate, ...]:
    return tuple(
        gate.model_copy(update={"at": at})
        for at, parity in measured.sizes.items()
        for gate in judge_floors(info, contract, parity)
    )


def _why_not_evaluated(contract: Contract, gates: Iterable[Gate], measured: _Measured) -> str:
    """Say what keeps an artifact that ran from being verified; empty if nothing does."""
    if measured.parity is None:
        return NO_EVALUATION_SET
    unlimited = without_limit(contract, gates)
    return f"no limit of the profile applies to {', '.join(unlimited)}" if unlimited else ""


def _ran_on(info: ArtifactInfo, runner: ExecutedBy) -> str:
    """Name what ran here, as a person has to know it: no accelerator of a phone is in it."""
    who = ", ".join(sorted(info.delegates)) or info.format
    return f"{'reference executor' if runner == 'reference' else who} on the host's CPU"


def _op_counts(ops: Iterable[OpInfo]) -> dict[str, int]:
    counts = Counter(" ".join((op.type, op.dtype, op.delegate)).strip() for op in ops)
    return dict(sorted(counts.items()))
