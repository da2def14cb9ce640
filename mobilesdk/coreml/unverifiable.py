"""Operations whose results no reference can know, and why."""

from __future__ import annotations

from collections.abc import Iterable

_RANDOM = "the device draws its own random numbers"
_REASONS = {
    "custom_layer": "the app implements it",
    "random_bernoulli": _RANDOM,
    "random_categorical": _RANDOM,
    "random_normal": _RANDOM,
    "random_uniform": _RANDOM,
}


def unverifiable_reasons(op_types: Iterable[str]) -> tuple[str, ...]:
    """Tell why the results of a program cannot be known, a clause for each type of operation.

    Args:
        op_types: Of all its operations.

    Returns:
        Sorted, each once; empty if they can be known.
    """
    found = sorted(set(op_types) & set(_REASONS))
    return tuple(f"{op_type}: {_REASONS[op_type]}" for op_type in found)
