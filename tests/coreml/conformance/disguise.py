"""Loaded before the adapter: hides TensorFlow from coremltools and claims a recent macOS.

TensorFlow and coremltools do not share a process. Apple's tests skip cases on systems whose Core ML
had faults that were mended later.
"""

from __future__ import annotations

import sys

sys.modules["tensorflow"] = None  # type: ignore[assignment]

from coremltools.models import utils  # noqa: E402  # must not find TensorFlow

MACOS_VERSION = (26, 0)

utils._macos_version = lambda: MACOS_VERSION
