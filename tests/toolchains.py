"""The modules of all toolchains: the one list that the architecture is held to."""

from __future__ import annotations

import tomllib
from pathlib import Path

_PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
_CONTRACTS = _PYPROJECT["tool"]["importlinter"]["contracts"]

TOOLCHAINS: tuple[str, ...] = tuple(
    next(each for each in _CONTRACTS if each["id"] == "no-toolchain")["forbidden_modules"]
)
"""Top-level modules that nothing but plug-ins and the torch-side layers may import."""
