"""Orders of names."""

from __future__ import annotations

import re


def natural_order(name: str) -> tuple[str, int]:
    """Sort key that puts ``args_2`` before ``args_10``: by the stem, then by the number behind."""
    stem = re.sub(r"\d+\Z", "", name)
    return stem, int(name[len(stem) :] or 0)
