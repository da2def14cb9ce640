"""Record what a model is made from, as a compiler's depfile does: files read, modules imported.

The pipeline compares the record with the disk before it reads the model again, so that a rebuild
with nothing changed imports nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent


class Recorder:
    """Collects the files that are read while it is active.

    Every ``open`` of Python is seen by an audit hook. ``torch.load`` and ``safetensors.safe_open``
    open files in native code, so their arguments are noted as well.
    """

    def __init__(self) -> None:
        self._read: set[Path] = set()
        self._required: set[Path] = set()
        self._active = False
        sys.addaudithook(self._audit)  # a hook stays for good; it does nothing once inactive

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what is read inside of the ``with`` block."""
        self._active = True
        try:
            with self._native_readers():
                yield
        finally:
            self._active = False

    def require(self, *paths: Path) -> None:
        """Note files that belong to the model, wherever they lie and whoever reads them."""
        self._required.update(path.absolute() for path in paths)

    def dependencies(self) -> dict[str, Any]:
        """Give ``files`` with their SHA-256, sorted by path, and ``distributions`` with versions.

        Left out are the files of the interpreter and of installed distributions (their versions
        stand for them) unless they are required, and files that are gone again.
        """
        foreign = _foreign_folders()
        found = {path for path in self._read | _module_files() if _is_input(path, foreign)}
        paths = found | self._required
        return {
            "files": [{"path": str(path), "sha256": _sha256(path)} for path in sorted(paths)],
            "distributions": _imported_distributions(),
        }

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self._active:
            path, mode, flags = arguments
            reads = mode is None or "r" in mode
            if reads and not (flags or 0) & (os.O_WRONLY | os.O_RDWR):
                self._note(path)

    def _note(self, path: object) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            self._read.add(Path(os.fsdecode(path)).absolute())

    @contextmanager
    def _native_readers(self) -> Iterator[None]:
        import safetensors
        import safetensors.torch
        import torch

        places = (
            (torch, "load"),
            (torch.serialization, "load"),
            (torch.jit, "load"),
            (safetensors, "safe_open"),
            (safetensors.torch, "safe_open"),
        )
        originals = [(module, name, getattr(module, name)) for module, name in places]
        for module, name, original in originals:
            setattr(module, name, self._noting(original))
        try:
            yield
        finally:
            for module, name, original in originals:
                setattr(module, name, original)

    def _noting(self, reader: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:
            if self._active:
                self._note(next(iter((*arguments, *options.values())), None))
            return reader(*arguments, **options)

        return noting


def _module_files() -> set[Path]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {Path(file).absolute() for file in files if file}


def _is_input(path: Path, foreign: tuple[str, ...]) -> bool:
    """Tell whether a file is the user's: still there, not the interpreter's, nobody's cache.

    Thousands of modules are looked at, so that most are decided by their names alone.
    """
    if str(path).startswith(foreign):
        return False
    resolved = path.resolve()
    if not resolved.is_file() or "__pycache__" in resolved.parts:
        return False
    return not str(resolved).startswith(foreign)


def _foreign_folders() -> tuple[str, ...]:
    """Give how the paths of files begin that are not the user's."""
    installed = {Path(path) for path in sysconfig.get_paths().values()}
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
    system = {Path("/proc"), Path("/sys"), Path("/dev"), Path("/etc")}
    found = {*prefixes, *installed, _PACKAGE, *system}
    folders = {*found, *(folder.resolve() for folder in found)} - {Path("/")}
    return tuple(f"{folder}/" for folder in sorted(folders))


def _imported_distributions() -> dict[str, str]:
    imported = {name.partition(".")[0] for name in list(sys.modules)}
    by_module = importlib.metadata.packages_distributions()
    names = {name for module in imported for name in by_module.get(module, ())}
    return {name: importlib.metadata.version(name) for name in sorted(names - {"mobilesdk"})}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
