"""How values are carried between operations, and when they are rounded.

A float16 value is carried in a float32 tensor: arithmetic of the reference is float32, and one
rounding after each operation gives what float16 storage would hold, without a conversion back.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.run_limits import is_count
from mobilesdk.errors import UsageError

Mode = Literal["declared", "float32", "float16_accumulation"]

_CARRIERS = {
    ElementType.BOOL: torch.bool,
    ElementType.FLOAT16: torch.float32,
    ElementType.FLOAT32: torch.float32,
    ElementType.FLOAT64: torch.float64,
    ElementType.INT4: torch.int8,
    ElementType.INT8: torch.int8,
    ElementType.INT16: torch.int16,
    ElementType.INT32: torch.int32,
    ElementType.INT64: torch.int64,
    ElementType.UINT16: torch.int32,
    ElementType.UINT32: torch.int64,
    ElementType.UINT64: torch.int64,
}

_OWN_PAGES_BYTES = 1 << 16
_ROUNDED_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Precision:
    """How arithmetic is done.

    Attributes:
        mode: ``declared``: every result is rounded once to its declared type, sums are float32.
            ``float32``: results that are declared float16 are not rounded.
            ``float16_accumulation``: as declared, and sums of products are rounded to float16
            after every ``block_size`` products.
        block_size: 1 or more; only in ``float16_accumulation``.
    """

    mode: Mode = "declared"
    block_size: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            known = ", ".join(get_args(Mode))
            raise UsageError(f"No precision named {self.mode!r}.", hint=f"use one of {known}.")
        if (self.mode == "float16_accumulation") != (self.block_size is not None):
            raise UsageError(
                "The number of products between roundings goes with float16_accumulation only.",
                hint='give both precision="float16_accumulation" and accumulation=16, or neither.',
            )
        size = self.block_size
        if size is not None and not is_count(size):
            raise UsageError(
                f"The number of products between roundings is {size!r}.",
                hint="give a whole number of 1 or more as accumulation.",
            )

    @property
    def rounds(self) -> bool:
        """Whether float16 results are rounded."""
        return self.mode != "float32"

    def array_dtype(self, element: ElementType) -> np.dtype[Any]:
        """Give the numpy type in which a value of a declared type is handed out."""
        if element is ElementType.FLOAT16 and not self.rounds:
            return np.dtype(np.float32)
        return element.numpy


def carrier(element: ElementType) -> torch.dtype:
    """Give the torch type that carries a declared type."""
    return _CARRIERS.get(element, torch.uint8)


def carry(values: NDArray[Any], element: ElementType, *, lasting: bool = False) -> Tensor:
    """Copy an array into the tensor that carries it.

    Args:
        values: Numbers.
        element: Their declared type.
        lasting: Whether the tensor outlives a run: it gets pages of its own if it is large, so that
            it does not lie between the short-lived ones and keep their memory from reuse.

    Raises:
        UsageError: A number is too large.
    """
    if values.dtype == np.uint64 and values.size and int(values.max()) >= 1 << 63:
        raise UsageError("An unsigned 64-bit number of 2^63 or more cannot be carried.")
    carried = _lasting(values.shape, carrier(element)) if lasting else None
    if carried is None:
        carried = torch.empty(values.shape, dtype=carrier(element))
    with np.errstate(over="ignore", invalid="ignore"):  # torch converts so, without a word
        np.copyto(carried.numpy(), values, casting="unsafe")
    return carried


def _lasting(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
    size_bytes = prod(shape) * dtype.itemsize
    if size_bytes < _OWN_PAGES_BYTES:
        return None
    pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=dtype).reshape(shape)


def hand_out(value: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Copy a carried value into an array of a type that holds it."""
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite
        return np.array(value.numpy(), dtype=dtype, order="C", copy=True)


def round_float16(value: Tensor) -> Tensor:
    """Round to the nearest float16, ties to even; beyond its range to infinity."""
    return value.to(torch.float16).to(torch.float32)


def round_float16_in_place(value: Tensor) -> Tensor:
    """Round a contiguous tensor, part by part, so that a part stays in the processor's cache."""
    for part in value.view(-1).split(_ROUNDED_AT_ONCE):
        part.copy_(part.to(torch.float16))
    return value
