"""What a step is given while it runs, and the base of its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mobilesdk.core.frozen import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StepConfig(Frozen):
    """Base of every configuration class: frozen, and unknown keys are errors."""


class Samples(Protocol):
    """A calibration or evaluation set, prepared for the model: same order at every pass.

    One sample is a mapping from input name to an array of the contract's shape and dtype.
    """

    @property
    def digest(self) -> str:
        """SHA-256 over all samples."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Mapping[str, NDArray[np.generic[Any]]]]: ...


def _ignore(_message: str, _fraction: float | None = None) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class StepContext:
    """What a step is given besides the model and its configuration.

    Attributes:
        output: An empty folder; the step writes here and nowhere else.
        threads: How many threads the step may use.
        seed: Seed for everything random.
        calibration: The calibration set, for a step that needs one.
        report: Called with a message and, if known, the share done (0 … 1).
    """

    output: Path
    threads: int = 1
    seed: int = 0
    calibration: Samples | None = None
    report: Callable[..., None] = _ignore
