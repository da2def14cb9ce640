"""What an artifact is held to, and what was found about it: records that cross to a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mobilesdk.core.artifact import TensorInfo
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.gate import Gate, Verification
from mobilesdk.core.metric import UserMetric
from mobilesdk.core.parity import Figure, ParityReport
from mobilesdk.targets import Budget, FallbackAllowance, PartialAllowance
from mobilesdk.units import format_decibels

RECORD_NAME = "record.json"
LEDGER_NAME = "ledger.json"
EXPECTED_NAME = "expected.safetensors"
REPLAY_NAME = "replay.json"
NO_EVALUATION_SET = "no evaluation set was given"
MIN_REPLAY_SQNR_DB = 30.0
"""Kernels that quantize activations at run time differ by 36 to 38 dB between CPUs; others by much
less. What is below 30 dB is another model."""


class VerifyConfig(Frozen):
    """What an artifact is held to.

    Attributes:
        budget: Limits on its figures.
        fallback: What may stay outside the delegate; ``None``: anything, nothing was asked.
        allow_partial: What may differ from the plan.
        metrics: Of the project, on outputs and labels.
        foreign: Path of an artifact that somebody else built; it has no plan.
    """

    budget: Budget = Budget()
    fallback: Literal["forbid"] | FallbackAllowance | None = None
    allow_partial: PartialAllowance | None = None
    metrics: tuple[UserMetric, ...] = ()
    foreign: Path | None = None


class VariantRecord(Frozen):
    """What was found about one artifact.

    Attributes:
        reason: Why it was not evaluated.
        ran_on: What ran it here for its figures; empty if nothing did.
        op_counts: ``type dtype delegate`` → count.
        sizes: At which it was held against the float model, if the model has dimensions.
        notes: What the exporter did to the program to make the converter take it.
    """

    verification: Verification
    reason: str
    ran_on: str = ""
    gates: tuple[Gate, ...]
    parity: ParityReport | None
    size_bytes: int
    minimum_os: str
    delegates: dict[str, int]
    op_counts: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    states: tuple[TensorInfo, ...] = ()
    sizes: tuple[str, ...] = ()
    notes: tuple[str, ...]


class Replay(Frozen):
    """The worst output of a replay.

    Attributes:
        non_finite: The first op that made infinity of finite numbers, or NaN; empty if
            none did, or if the runtime shows no values.
    """

    output: str
    sqnr_db: Figure
    sample_count: int
    non_finite: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is the same artifact as far as another CPU can tell, and a sound one."""
        return self.sqnr_db >= MIN_REPLAY_SQNR_DB and not self.non_finite

    def __str__(self) -> str:
        closeness = format_decibels(self.sqnr_db)
        text = f"{self.sample_count} samples, {closeness} from the stored outputs ({self.output})"
        return f"{text}; {self.non_finite}" if self.non_finite else text
