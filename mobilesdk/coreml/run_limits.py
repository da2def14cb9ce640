"""How much one run of a program may take."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobilesdk.errors import UsageError


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number of 1 or more: of Python or of numpy, and no bool."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_whole and bool(value >= 1)


def _half_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@dataclass(frozen=True)
class RunLimits:
    """What a run is refused beyond; a program states sizes and loops as it likes.

    Attributes:
        elements: Of one tensor, constants too; 1 or more.
        operations: Executed in one run, those of a loop each time; 1 or more.
        memory_bytes: Of all values that are held at a time, with the constants that were used and
            the states; 1 or more; half of the memory of this machine if not given.
    """

    elements: int = 1 << 28
    operations: int = 1_000_000
    memory_bytes: int = field(default_factory=_half_of_memory)

    def __post_init__(self) -> None:
        for name, limit in vars(self).items():
            if not is_count(limit):
                raise UsageError(
                    f"The limit {name} is {limit!r}.", hint="give a whole number of 1 or more."
                )
