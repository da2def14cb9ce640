"""Gates: a figure against its limit; and what all gates of an artifact amount to."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from mobilesdk.core.frozen import Frozen
from mobilesdk.core.parity import Figure

Verdict = Literal["passed", "failed", "not_evaluated", "unverifiable"]


class Gate(Frozen):
    """The check of one limit of a budget.

    Attributes:
        name: Of the limit, as in the profile, e.g. ``min_sqnr_db``.
        output: That it is about; empty for the artifact as a whole.
        at: Sizes of the dimensions that it is about (``length=16``); empty for the evaluation set.
        metric: Name of the project's metric that it is about; empty for a limit of a budget.
        value: What was measured; ``None`` without a measurement.
        limit: What it is compared with.
        unit: Of value and limit: ``dB``, ``ratio``, ``bytes``, ``nats``; empty for plain numbers.
        interval: 95 % interval of the value, where one can be given.
        sample_count: Samples behind the value; 0 for sizes.
        verdict: By the value alone; the interval says how sure it is.
        reason: Why it was not evaluated, or never can be; how the limit was made, where it is not
            the profile's number alone; what was found, where the figure alone does not tell.
    """

    name: str
    output: str = ""
    at: str = ""
    metric: str = ""
    value: Figure | None
    limit: Figure
    unit: str
    interval: tuple[Figure, Figure] | None = None
    sample_count: int = 0
    verdict: Verdict
    reason: str = ""

    @property
    def title(self) -> str:
        """Its name, with the output and the sizes that it is about."""
        of = f" of {self.output}" if self.output else ""
        return f"{self.name}{of}" + (f" at {self.at}" if self.at else "")

    @property
    def figures(self) -> str:
        """What was measured against the limit, e.g. ``19.9 against 20.0 dB``."""
        return f"{self.value} against {self.limit} {self.unit}".rstrip()


def compare(name: str, value: float, limit: float) -> Literal["passed", "failed"]:
    """Judge a figure by a limit, whose first word says on which side of it to be.

    Args:
        name: Of the limit: ``max_…`` is an upper one, all others are lower ones.
        value: The figure; one that is not a number fails.
        limit: In the unit of the figure.
    """
    passed = value <= limit if name.startswith("max_") else value >= limit
    return "passed" if passed else "failed"


class Verification(StrEnum):
    """What is known of an artifact's numerics."""

    VERIFIED_ON_HOST = "verified_on_host"  # its own runtime ran it here, and all gates passed
    VERIFIED_BY_REFERENCE = "verified_by_reference"  # a reference executor ran it
    NOT_EVALUATED = "not_evaluated"  # no evaluation set, or no way yet to run it
    UNVERIFIABLE = "unverifiable"  # random ops, custom layers
    FAILED_GATE = "failed_gate"
