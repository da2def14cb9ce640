"""Loaded before the adapter: lets TensorFlow share the process, and claims a recent macOS.

TensorFlow and triton crash a process in which triton comes second (docs/toolchains.md). Apple's
tests skip cases on systems whose Core ML had faults that were mended later.
"""

from __future__ import annotations

import contextlib

with contextlib.suppress(ModuleNotFoundError):
    import triton  # noqa: F401

from coremltools.models import utils  # after triton

MACOS_VERSION = (26, 0)

utils._macos_version = lambda: MACOS_VERSION
