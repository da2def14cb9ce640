"""Verify one written artifact: read it, hold it to its plan, run it, judge its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.gate import Gate
from mobilesdk.core.ledger import Expectation, Ledger
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.parity import ParityReport
from mobilesdk.core.step import Samples, StepContext
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.plugins import ExecutedBy, Runtime, RuntimeSession, runtime
from mobilesdk.verify.delegation import enforce_fallback
from mobilesdk.verify.gates import judge, never_evaluated, verification, without_limit
from mobilesdk.verify.ledger import build_ledger, enforce
from mobilesdk.verify.parity import compare
from mobilesdk.verify.record import (
    EXPECTED_NAME,
    LEDGER_NAME,
    NO_EVALUATION_SET,
    RECORD_NAME,
    VariantRecord,
    VerifyConfig,
)
from mobilesdk.verify.soundness import enforce_contract, enforce_sound


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

    Raises:
        ArtifactInvalid: It does not load, run, hold finite numbers, or keep to the contract.
        CompressionIncomplete: It does not hold what was planned.
        DelegationRefused: Ops are outside the delegate.
    """
    plugin = runtime(runtime_name)
    info = plugin.inspect(path)
    enforce_sound(info)
    enforce_contract(info, summary.contract)
    _check_plan(info, expectation, config, context)
    reason = plugin.refuses(info)
    parity = None
    if not reason:
        parity = _run(plugin, path, summary.contract, reference, evaluation, context)
        reason = "" if parity else NO_EVALUATION_SET
    gates = judge(
        config.budget, summary.contract, parity, info.size_bytes, summary.float_size_bytes
    )
    if info.unverifiable:
        gates = never_evaluated(gates, "; ".join(info.unverifiable))
    run_by = plugin.executes_by(info) if parity else None
    unlimited = without_limit(summary.contract, gates)
    if unlimited and run_by:
        run_by, reason = None, f"no limit of the profile applies to {', '.join(unlimited)}"
    notes = () if expectation is None else expectation.notes
    record = _record(info, gates, parity, run_by, reason, notes)
    if parity:
        record = record.model_copy(update={"ran_on": _ran_on(info, plugin.executes_by(info))})
    (context.output / RECORD_NAME).write_text(record.model_dump_json())


def _ran_on(info: ArtifactInfo, run_by: ExecutedBy) -> str:
    """Name what ran here, as a person has to know it: no accelerator of a phone is in it."""
    who = ", ".join(sorted(info.delegates)) or info.format
    return f"{'reference executor' if run_by == 'reference' else who} on the host's CPU"


def _check_plan(
    info: ArtifactInfo, expectation: Expectation | None, config: VerifyConfig, context: StepContext
) -> None:
    ledger = Ledger(entries=()) if expectation is None else build_ledger(expectation, info)
    (context.output / LEDGER_NAME).write_text(ledger.model_dump_json())
    enforce(ledger, config.allow_partial)
    if config.fallback is not None:
        enforce_fallback(info, config.fallback)


def _record(
    info: ArtifactInfo,
    gates: tuple[Gate, ...],
    parity: ParityReport | None,
    run_by: ExecutedBy | None,
    reason: str,
    notes: tuple[str, ...],
) -> VariantRecord:
    counts = Counter(" ".join((op.type, op.dtype, op.delegate)).strip() for op in info.ops)
    return VariantRecord(
        verification=verification(gates, run_by, unverifiable=bool(info.unverifiable)),
        reason=reason,
        gates=gates,
        parity=parity,
        size_bytes=info.size_bytes,
        minimum_os=info.minimum_os,
        delegates=info.delegates,
        op_counts=dict(sorted(counts.items())),
        inputs=info.inputs,
        outputs=info.outputs,
        notes=notes,
    )


def _run(
    plugin: Runtime,
    path: Path,
    contract: Contract,
    reference: Path,
    evaluation: Samples | None,
    context: StepContext,
) -> ParityReport | None:
    """Run the goldens, and the evaluation set if there is one."""
    session = plugin.load(path, contract, context.threads)
    golden = load_file(reference / "golden_inputs.safetensors")
    save_file(run_stacked(session, golden), context.output / EXPECTED_NAME)
    if evaluation is None:
        return None
    outputs: dict[str, NDArray[Any]] = {}
    findings: tuple[str, ...] = ()
    for index, sample in enumerate(evaluation):
        for name, values in session.run(sample).items():
            if name not in outputs:
                outputs[name] = np.empty((len(evaluation), *values.shape), values.dtype)
            outputs[name][index] = values
        findings = findings or session.findings()
        context.report("running the artifact", (index + 1) / len(evaluation))
    try:
        return compare(contract, _reference(reference, contract), outputs)
    except ArtifactInvalid as error:
        raise ArtifactInvalid(" ".join([error.message, *findings]), hint=error.hint) from error


def run_stacked(
    session: RuntimeSession, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run samples that are stacked along a first axis; stack the outputs likewise."""
    count = len(next(iter(inputs.values())))
    rows = [session.run({name: inputs[name][i] for name in inputs}) for i in range(count)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _reference(folder: Path, contract: Contract) -> dict[str, NDArray[Any]]:
    return {
        spec.name: np.load(folder / f"reference_{index}.npy", mmap_mode="r", allow_pickle=False)
        for index, spec in enumerate(contract.outputs)
    }
