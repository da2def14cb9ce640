"""Integers computed in 64 bits, so that a result that its type cannot hold is seen.

A narrower result is held to its declared type afterwards (``results``); what 64 bits cannot hold
either is refused here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError

_END = 2.0**63


def whole(values: Tensor) -> Tensor:
    """Round floats towards zero, to int64.

    Raises:
        OpError: One is NaN, or beyond 64 bits.
    """
    if not bool((values.abs() < _END).all()):
        raise OpError("a result that integers of 64 bits cannot hold, which is undefined")
    return values.trunc().to(torch.int64)


def in_64_bits(compute: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """Compute floats as they are, and integers in 64 bits.

    Args:
        compute: The same for float64 and int64 but for what int64 cannot hold.
        values: All floats, or all integers.

    Raises:
        OpError: A result is beyond 64 bits; judged by the result in float64.
    """
    if any(value.is_floating_point() for value in values):
        return compute(*values)
    whole(compute(*(value.double() for value in values)))
    return compute(*(value.long() for value in values))


def divided(x: Tensor, y: Tensor, rounding: str | None) -> Tensor:
    """Give x / y; of integers rounded, ``trunc`` towards zero or ``floor`` down.

    Raises:
        ZeroDivisionError: An integer is divided by 0.
        OpError: A result is beyond 64 bits.
    """
    if x.is_floating_point() or y.is_floating_point():
        return torch.div(x, y, rounding_mode=None if rounding == "trunc" else rounding)
    if not bool(y.all()):
        raise ZeroDivisionError
    return in_64_bits(lambda a, b: torch.div(a, b, rounding_mode=rounding), x, y)
