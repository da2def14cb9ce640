"""Loaded before the adapter: lets TensorFlow share the process, and claims a recent macOS.

TensorFlow and triton crash a process in which triton comes second (docs/toolchains.md). Apple's
tests skip cases on systems whose Core ML had faults that were mended later. ExecuTorch, which
coremltools imports if it is there, is not needed and takes seconds.
"""

from __future__ import annotations

import contextlib
import sys

with contextlib.suppress(ModuleNotFoundError):
    import triton  # noqa: F401

sys.modules["executorch"] = None  # type: ignore[assignment]  # makes its import fail

from coremltools.models import utils  # noqa: E402  # after triton

MACOS_VERSION = (26, 0)

utils._macos_version = lambda: MACOS_VERSION
