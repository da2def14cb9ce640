"""How the C library keeps memory that runs free. Settings are those of the whole process.

They are changed only if ``low_memory`` is asked for.

By itself glibc keeps freed activations for the next run, the more the larger they were, and in
pieces between values that live on.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

LARGE_BYTES = 1 << 20
_M_TRIM_THRESHOLD = -1  # malloc.h
_KEPT_BYTES = 4 << 20


def keep_little() -> None:
    """Let the C library keep at most 4 MiB free at the end of its heap, however large blocks are.

    Without glibc nothing happens.
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back() -> None:
    """Let the C library return what it holds free. Without glibc nothing happens."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None)
