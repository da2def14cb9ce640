"""One model in; a compressed, verified variant for every phone tier out."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobilesdk.api import (
        build,
        init,
        inspect,
        inspect_layers,
        inspect_profile,
        plan,
        report,
        verify,
    )
    from mobilesdk.core.contract import (
        ArrayInput,
        AudioInput,
        BoxLayout,
        ImageInput,
        MaskLayout,
        ModelSpec,
        TokenInput,
    )
    from mobilesdk.core.dimension import Dimension

__version__ = "0.1.0"
__all__ = [
    "ArrayInput",
    "AudioInput",
    "BoxLayout",
    "Dimension",
    "ImageInput",
    "MaskLayout",
    "ModelSpec",
    "TokenInput",
    "build",
    "init",
    "inspect",
    "inspect_layers",
    "inspect_profile",
    "plan",
    "report",
    "verify",
]

_API = frozenset(
    {"build", "init", "inspect", "inspect_layers", "inspect_profile", "plan", "report", "verify"}
)


class _Package(ModuleType):
    """Keeps ``mobilesdk.verify`` the function, when the layer of that name has been imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _API and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    """Load the public names on first use, so that importing the package costs nothing."""
    import importlib

    if name in _API:
        return getattr(importlib.import_module("mobilesdk.api"), name)
    if name in __all__:
        return getattr(importlib.import_module("mobilesdk.core.contract"), name)
    raise AttributeError(f"module 'mobilesdk' has no attribute {name!r}")
