"""How the C library keeps memory that runs free. Settings are those of the whole process.

By itself glibc keeps freed activations for the next run, in pieces between values that live on: a
run of EfficientNet-Lite0 then takes 1.7 to 2.8 times the weights, as chance has it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h


def keep_large_apart() -> None:
    """Let blocks of 1 MiB or more have pages of their own, which go back when they are freed.

    Smaller ones stay in the heap, where they are faster. Without glibc nothing happens.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Let the C library return what it holds free. Without glibc nothing happens."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
