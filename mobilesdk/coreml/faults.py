"""What torch, numpy and Python raise when an operation cannot be computed, as errors of ours."""

from __future__ import annotations

from mobilesdk.coreml.ops.registry import TooLarge
from mobilesdk.errors import ArtifactInvalid, LimitExceeded

FAULTS = (ArithmeticError, IndexError, MemoryError, RuntimeError, ValueError)
"""Raised for arguments that an operation cannot take; others are faults of this code."""

HIGHER_LIMITS_HINT = "if the program needs as much, give load() higher limits."
_TORCH_ALLOCATOR = "DefaultCPUAllocator"  # torch raises a plain RuntimeError when memory ends
_TORCH_ZERO_DIVISION = "ZeroDivisionError"  # the text of a plain RuntimeError


def refusal(where: str, error: Exception) -> ArtifactInvalid | LimitExceeded:
    """Give the error to raise in place of a fault.

    Args:
        where: Type and name of the operation.
        error: One of `FAULTS`.
    """
    if isinstance(error, TooLarge):
        return LimitExceeded(f"{where}: {error}.", hint=HIGHER_LIMITS_HINT)
    if isinstance(error, MemoryError) or _TORCH_ALLOCATOR in str(error):
        return LimitExceeded(
            f"{where}: needs more memory than this process can have.",
            hint="run it where there is more; `RunLimits` refuse large programs earlier.",
        )
    if isinstance(error, ZeroDivisionError) or str(error) == _TORCH_ZERO_DIVISION:
        return ArtifactInvalid(f"{where}: a division by zero.")
    return ArtifactInvalid(f"{where}: {error}")
