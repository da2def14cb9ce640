"""The ledger: for every weight and op what was requested, what was applied, and why they differ."""

from __future__ import annotations

from typing import Literal

from mobilesdk.core.artifact import Fingerprint
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.scheme import ActivationScheme, WeightRole, WeightScheme


class ExpectedWeight(Frozen):
    """What an exporter says the artifact holds for one weight; checked against the file.

    Attributes:
        name: Fully qualified name in the float model.
        artifact_name: Name in the artifact; empty where the format keeps none, and then the
            fingerprint finds it.
        role: What the weight is to the op that takes it; tells which axes are its channels.
        shape: Shape as in torch.
        requested: What the profile asked for.
        planned: What the compressor chose for this weight.
        reason: Why the two differ.
        fingerprint: Of the values that the artifact should decode to.
        merged: Whether the converter has made it part of another constant, such as a bias, so that
            the file holds it nowhere by itself. Never the weight of a layer.
        functions: Of the artifact that take it, where it has several: all of them take the same.
    """

    name: str
    artifact_name: str = ""
    role: WeightRole = "other"
    shape: tuple[int, ...]
    requested: WeightScheme
    planned: WeightScheme
    reason: str = ""
    fingerprint: Fingerprint
    merged: bool = False
    functions: tuple[str, ...] = ()


class Expectation(Frozen):
    """What an exporter writes beside its artifact as ``expectation.json``.

    Attributes:
        weights: All weights that the model has, compressed or not.
        activations: Scheme that the profile asks for, of all activations.
        planned_activations: Scheme that the file is to have, where it is not the one asked for.
        activations_reason: Why it is not; not empty where `planned_activations` is given.
        float_op_types: Op types of the format that may keep other float activations than planned,
            each with its reason (the conversions at the borders, say).
        float_ops: Ops by their names in the file that may keep other types than planned, whichever
            they are, each with its reason. Only where the format keeps names.
        scale_bits: Of the scales and tables in the file; what floats of 16 bits round is forgiven.
        notes: What the exporter did to the program to make the converter take it.
    """

    weights: tuple[ExpectedWeight, ...]
    activations: ActivationScheme = ActivationScheme()
    planned_activations: ActivationScheme | None = None
    activations_reason: str = ""
    float_op_types: dict[str, str] = {}
    float_ops: dict[str, str] = {}
    scale_bits: Literal[16, 32] = 32
    notes: tuple[str, ...] = ()


class LedgerEntry(Frozen):
    """One line of the ledger.

    Attributes:
        kind: A weight, or an op (its activations).
        name: Of the weight in the float model, of the op in the artifact.
        requested: Scheme asked for by the profile.
        planned: Scheme chosen for this weight or op.
        applied: Scheme found in the written file; ``missing`` if the file does not hold it.
        size_before_bytes: At float32.
        size_after_bytes: As stored.
        status: ``as_requested``; ``as_planned``: differs from the request for a stated reason;
            ``different``: differs from the plan.
        reason: Why requested, planned and applied differ.
    """

    kind: Literal["weight", "op"]
    name: str
    requested: str
    planned: str
    applied: str
    size_before_bytes: int = 0
    size_after_bytes: int = 0
    status: Literal["as_requested", "as_planned", "different"]
    reason: str = ""


class Ledger(Frozen):
    """All lines for one artifact."""

    entries: tuple[LedgerEntry, ...]

    @property
    def different(self) -> tuple[LedgerEntry, ...]:
        """Entries whose applied scheme is not the planned one."""
        return tuple(entry for entry in self.entries if entry.status == "different")
