"""What torch, numpy and Python raise when an operation cannot be computed, as errors of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobilesdk.coreml.ops.registry import SUPPLIED, TooLarge
from mobilesdk.errors import ArtifactInvalid, LimitExceeded

FAULTS = (ArithmeticError, IndexError, MemoryError, RuntimeError, ValueError)
"""Raised for arguments that an operation cannot take; others are faults of this code."""

HIGHER_LIMITS_HINT = "if the program needs as much, give load() higher limits."
_TORCH_ALLOCATOR = "DefaultCPUAllocator"  # torch raises a plain RuntimeError when memory ends
_TORCH_ZERO_DIVISION = "ZeroDivisionError"  # the text of a plain RuntimeError

_SHOWN_VALUES = 8
# How Python words that a sequence, a shape say, is too short or too long.
_LENGTHS = ("zip()", "unpack", "index out of range")


def reason(error: Exception) -> str:
    """Word why a call failed, where the error itself says it in terms of Python's own."""
    if any(words in str(error) for words in _LENGTHS):
        return "too few or too many axes or values in an argument"
    return str(error)


def told(arguments: Mapping[str, Any]) -> str:
    """Name the arguments of an operation, with the shapes of tensors."""
    return ", ".join(
        f"{name} {_short(value)}" for name, value in arguments.items() if name not in SUPPLIED
    )


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return str(list(shape))
    if isinstance(value, list):
        return f"[{', '.join(_short(item) for item in value[:_SHOWN_VALUES])}]"
    if isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, tuple) and all(isinstance(item, (bool, int, float)) for item in value):
        shown = ", ".join(map(str, value[:_SHOWN_VALUES]))
        return f"({shown}{', …' if len(value) > _SHOWN_VALUES else ''})"
    return f"a {type(value).__name__}"


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
