"""Least parity of an artifact without a plan: nobody set limits, and yet it has to be the model.

An uncompressed file is held to the precision that it computes in, a compressed one to carry the
signal. ``docs/verification.md`` has the reasons of the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import BoxLayout, Contract, OutputSpec
from mobilesdk.core.gate import Gate
from mobilesdk.core.parity import ParityReport
from mobilesdk.targets import AnyBudget, Budget
from mobilesdk.targets.budget import BoxBudget
from mobilesdk.verify.gates import judge

FLOAT32_DB, FLOAT16_DB, COMPRESSED_DB = 80.0, 40.0, 10.0
"""SQNR that an output has to reach, by what the file holds."""
SHARE = 0.5
"""Of equal integers, and of boxes in pairs; boxes and ids may change their order."""

_INTEGERS = frozenset({"int8", "uint8"})


def judge_floors(
    info: ArtifactInfo, contract: Contract, parity: ParityReport | None
) -> tuple[Gate, ...]:
    """Hold every output to the floor of what the artifact holds.

    Args:
        info: What is inside the artifact.
        contract: Of the float model.
        parity: What was measured.

    Returns:
        A gate for each output, whose reason says where its limit comes from; none without figures.
    """
    if parity is None:
        return ()
    limit_db, holds = floor_db(info)
    reason = f"The floor of a file without a plan, which {holds}."
    return tuple(
        gate.model_copy(update={"reason": reason})
        for spec in contract.outputs
        for gate in _gates(spec, limit_db, contract, parity)
    )


def floor_db(info: ArtifactInfo) -> tuple[float, str]:
    """Give the least SQNR of an artifact's float outputs in dB, and what it holds for that."""
    schemes = [weight.scheme for weight in info.weights]
    is_plain = all(scheme.encoding == "float" and not scheme.sparsity for scheme in schemes)
    if not is_plain or any(op.dtype in _INTEGERS for op in info.ops):
        return COMPRESSED_DB, "is compressed"
    if any(scheme.bits == 16 for scheme in schemes) or _has_float16(op.dtype for op in info.ops):
        return FLOAT16_DB, "is float16"
    return FLOAT32_DB, "is float32"


def _has_float16(dtypes: Iterable[str]) -> bool:
    return any(dtype in ("float16", "bfloat16") for dtype in dtypes)


def _gates(
    spec: OutputSpec, limit_db: float, contract: Contract, parity: ParityReport
) -> tuple[Gate, ...]:
    """Judge one output by the figure that can tell: boxes with a layout have no order."""
    found = next(each for each in parity.outputs if each.name == spec.name)
    if isinstance(spec.layout, BoxLayout) and found.matched_boxes is not None:
        budget = Budget(boxes=BoxBudget(min_matched_boxes=SHARE))
    else:
        budget = Budget(any=AnyBudget(min_sqnr_db=limit_db, min_equality=SHARE))
    alone = contract.model_copy(update={"outputs": (spec,)})
    return judge(budget, alone, parity, 0, 0)
