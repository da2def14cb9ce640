"""How much one run of a program may take."""

from __future__ import annotations

from dataclasses import dataclass

from mobilesdk.errors import UsageError


@dataclass(frozen=True)
class RunLimits:
    """What a run is refused beyond; a program states sizes and loops as it likes.

    Attributes:
        elements: Of one tensor, constants too; 1 or more.
        operations: Executed in one run, those of a loop each time; 1 or more.
    """

    elements: int = 1 << 28
    operations: int = 1_000_000

    def __post_init__(self) -> None:
        if self.elements < 1 or self.operations < 1:
            raise UsageError("Limits of a run are 1 or more.")
