"""Apple's cases that fail in the reference executor, by pattern, each with the reason."""

from __future__ import annotations

KNOWN_FAILURES: dict[str, str] = {}
